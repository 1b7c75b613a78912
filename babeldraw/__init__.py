"""Babeldraw: text-to-image models in two learned stages, from two CPU cores to a TPU pod."""

__version__ = "0.1.0"
