"""The card of an exported model: README.md, as hubs show it, for people to read."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from babeldraw.exporting.folder import Network
from babeldraw.sizes import in_words

_WHAT = {
    "transformer": "predicts image tokens from a text or a class",
    "tokenizer": "turns pictures into tokens and back (ViT-VQGAN)",
    "coca": "compares pictures with texts and captions them (CoCa)",
    "super_resolution": "enlarges drawn pictures",
}


def card(
    config: Mapping[str, Any],
    networks: Mapping[str, Network],
    data: Mapping[str, Any] | None,
    scores: Mapping[str, float],
    notes: str,
) -> str:
    """Markdown.

    Args:
      data: what the run's manifest says of its training data, where it says so.
      scores: of the run's last evaluation.
      notes: licences, limits and whatever else its maker says, as Markdown.
    """
    rows = ["| network | parameters | file |", "|---|---|---|"]
    for name, network in networks.items():
        count = sum(math.prod(np.shape(leaf)) for leaf in jax.tree.leaves(network.params))
        rows.append(f"| {name}: {_WHAT[name]} | {count:,} | {config['networks'][name]['file']} |")
    tokenizer = networks.get("tokenizer")
    size = f", pictures of {in_words(tokenizer.module.image_size)}" if tokenizer else ""
    lines = [
        "---\nlibrary_name: babeldraw\ntags: [text-to-image]\n---",
        "# A model of Babeldraw",
        f"Exported at step {config['source']['step']}, weights as {config['precision']}{size}.",
        '```python\nimport babeldraw\n\nmodel = babeldraw.load("THIS FOLDER")\n```',
        "\n".join(rows),
        "## Data",
        _data(data),
        "## Scores",
        _scores(scores),
        "## Licences and limits",
        notes.strip() or _NO_NOTES,
    ]
    return "\n\n".join(lines) + "\n"


_NO_NOTES = (
    "Nobody has written them down: `babeldraw export --notes FILE` takes them. Weights learnt from "
    "pictures may reproduce them; the licences of the data above apply to what they allow."
)


def _data(data: Mapping[str, Any] | None) -> str:
    if not data:
        return "The run does not say."
    return "\n".join(f"- {name}: {value}" for name, value in data.items())


def _scores(scores: Mapping[str, float]) -> str:
    if not scores:
        return "The run was never evaluated."
    rows = [f"| {name} | {value:.4g} |" for name, value in scores.items()]
    return "\n".join(
        ["Of the run's last evaluation, on held-out data.", "", "| | |", "|---|---|"]
    ) + ("\n" + "\n".join(rows))
