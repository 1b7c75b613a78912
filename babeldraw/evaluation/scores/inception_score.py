"""Inception score (arXiv 1606.03498): confident of each picture, and different classes in all."""

import numpy as np
from jaxtyping import Float

SPLITS = 10
SEED = 2020
"""torch-fidelity's, whose order of the pictures is this seed's permutation."""


def inception_scores(logits: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " splits"]:
    """`exp(mean KL(p(y|x), p(y)))` of each tenth of the pictures, shuffled as torch-fidelity does.

    The published figure is their mean. Fewer pictures than tenths make a tenth each.
    """
    order = np.random.RandomState(SEED).permutation(len(logits))
    shuffled = logits[order].astype(np.float64)
    shuffled -= shuffled.max(axis=1, keepdims=True)
    logs = shuffled - np.log(np.exp(shuffled).sum(axis=1, keepdims=True))
    splits = min(SPLITS, len(logits))
    scores = []
    for index in range(splits):
        part = logs[index * len(logs) // splits : (index + 1) * len(logs) // splits]
        shares = np.exp(part)
        divergence = shares * (part - np.log(shares.mean(axis=0)))
        scores.append(np.exp(divergence.sum(axis=1).mean()))
    return np.array(scores)
