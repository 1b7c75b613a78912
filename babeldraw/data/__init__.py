"""Captions and pictures in: seqio tasks, their sources, vocabularies and preprocessing.

TensorFlow and seqio are imported by the modules of this package and nowhere else in Babeldraw, and
TensorFlow is started here, before any of them: quietly, and without a GPU.
"""

import os

from babeldraw.quiet import hidden_stderr

# TensorFlow only reads data here: what it says of CUDA and oneDNN would drown the training log.
# Some of that heeds no level.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with hidden_stderr():
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # the accelerator's memory belongs to JAX
