"""Captions and pictures in: seqio tasks, their sources, vocabularies and preprocessing.

TensorFlow and seqio are imported by the modules of this package and nowhere else in Babeldraw.
Importing the package itself stays cheap; import the module that you need.
"""
