"""Which tokenizer made some tokens."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

READS_PICTURES = ("encoder", "to_code", "quantizer")
"""A ViT-VQGAN's parameters that say which tokens a picture has; the rest draws."""


def token_identity(params: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a ViT-VQGAN's parameters of encoder and codebook.

    Tokenizers that share it share their tokens, even where their decoders differ.
    """
    digest = hashlib.sha256()
    kept = {name: params[name] for name in READS_PICTURES}
    for path, leaf in jax.tree_util.tree_leaves_with_path(kept):
        array = np.ascontiguousarray(leaf, dtype="<f4")
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
