"""Compiles a recipe for a TPU slice that is not there, and reports what it would cost."""
