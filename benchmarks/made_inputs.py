"""Pictures, texts and features from seeds, on which scores are compared with other packages'."""

import numpy as np

TEXTS = (
    "a fireman in the dog",
    "The  WOMAN's cat, it'll 42 &amp;amp; caf\u00e9!!",
    "\u732b and dog \u00bd <|endoftext|> on",
    "the man the man the man the man the man the man the man",
    "",
)


def inputs() -> dict[str, np.ndarray]:
    """Pictures of two sizes, features of two sets, logits, and token numbers."""
    rng = np.random.default_rng(0)
    return {
        "pictures": rng.integers(0, 256, (3, 32, 32, 3), np.uint8),
        "wide": rng.integers(0, 256, (2, 350, 400, 3), np.uint8),
        "drawn": rng.gamma(2, size=(60, 16)).astype(np.float32),
        "real": rng.gamma(2.5, size=(80, 16)).astype(np.float32),
        "logits": (3 * rng.standard_normal((60, 12))).astype(np.float32),
    }
