"""Suites of prompts: what is drawn for an evaluation, what is said of it, how reports compare."""
