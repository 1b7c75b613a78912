"""Captions and pictures in: seqio tasks, their sources, vocabularies and preprocessing.

TensorFlow and seqio are imported by the modules of this package and nowhere else in Babeldraw.
Importing the package itself stays cheap; import the module that you need.
"""

import os

# TensorFlow only reads data here: what it says of CUDA and oneDNN would drown the training log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
