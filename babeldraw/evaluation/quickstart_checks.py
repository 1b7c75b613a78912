"""What emoji that the quickstart drew show of their prompts, beside what any drawing could."""

from collections.abc import Mapping, Sequence

import numpy as np

from babeldraw.evaluation.checks.world import shown, world
from babeldraw.evaluation.retrieval import Pictures
from babeldraw.evaluation.scores import base
from babeldraw.evaluation.scores.checks import ALL, EmojiChecks

Shares = Mapping[str, Mapping[str, float]]

CEILING = "heldout_rebuilt"


def shares(pictures: Mapping[str, tuple[Pictures, Sequence[str]]]) -> Shares:
    """Of each set of pictures the share that shows what its captions say.

    Args:
      pictures: by name, some pictures and the caption of each.

    Returns:
      By name: of each attribute (concept, style, gender, tone) and of all together. Nothing where
      captions are not those of the emoji inside the package, one a picture.
    """
    known = {cell.caption: shown(cell) for cell in world("all").cells}
    captions = {caption for _, texts in pictures.values() for caption in texts}
    if not captions <= known.keys():
        return {}
    checks = EmojiChecks({caption: known[caption] for caption in captions})
    found = {}
    for name, (images, texts) in pictures.items():
        scored = checks.of(base.Pictures(np.asarray(images)), texts, None)
        found[name] = {key: round(score.value, 4) for key, score in scored.items()}
    return found


def sentences(checks: Shares) -> list[str]:
    """What report.json says of them."""
    said = []
    for name, what in (("seen", "seen"), ("heldout", "held-out")):
        each = ", ".join(f"{key} {value:.0%}" for key, value in checks[name].items() if key != ALL)
        said.append(f"Of {what} prompts {checks[name][ALL]:.0%} have all right ({each}).")
    said.append(
        f"No model can have much more right than the tokenizer keeps of the real held-out "
        f"pictures: {checks[CEILING][ALL]:.0%}. How it is told: docs/evaluation.md."
    )
    return said
