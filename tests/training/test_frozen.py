"""Contract: a model on a tokenizer of another size is told so, and nothing is compiled."""

import dataclasses

import jax
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.parallel.rules import unbox
from babeldraw.training import loop
from tests.models import tiny
from tests.objectives import tiny_runs


def shapes(**sizes):
    """Zeros in place of the parameters of a tokenizer."""
    tokenizer = tiny.tokenizer(**sizes)
    boxes = jax.eval_shape(lambda: tokenizer.init(jax.random.key(0), tiny.inputs(tokenizer)[0]))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), unbox(boxes["params"]))


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (
            {"codebook_size": 512},
            r"tokenizer has a codebook of 512 codes, and the recipe 13: chang",
        ),
        ({"image_size": 32}, r"tokenizer has 64 tokens a picture, and the recipe 20: change IMAGE"),
        (
            {"encoder_mlp_dim": 40},
            r"tokenizer's encoder/.* is \[.*40.*\], and the recipe describes",
        ),
        ({"encoder_layers": 3}, r"tokenizer's encoder/.* is \[3.*\], and the recipe describes \["),
    ],
)
def test_another_tokenizer_is_a_sentence_with_both_sizes(sizes, sentence, run, monkeypatch):
    objective = tiny_runs.text_to_image()
    objective = dataclasses.replace(objective, tokenizer_params=lambda: shapes(**sizes))
    monkeypatch.setattr(jax, "jit", lambda *_, **__: pytest.fail("compiles"))
    monkeypatch.setattr(loop, "compile_step", lambda *_: pytest.fail("compiles"))
    with pytest.raises(UserError, match=sentence):
        run(1, objective=objective)
