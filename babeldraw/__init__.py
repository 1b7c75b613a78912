"""Babeldraw: text-to-image models in two learned stages, from two CPU cores to a TPU pod."""

from babeldraw import moved

__version__ = "0.1.0"

moved.keep_old_names()
