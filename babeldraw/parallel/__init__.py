"""Meshes, logical axis rules, and how a stack of layers is executed."""
