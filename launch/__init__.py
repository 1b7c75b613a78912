"""Puts a recipe on a machine: `python -m launch.run --help`."""
