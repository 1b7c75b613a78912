"""Contract: hidden tokens are compared with the guess that reads nothing, pictures with chance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.evaluation.text_encoder import find, guess, score, table
from babeldraw.objectives.base import NotOffered
from babeldraw.objectives.text_encoder import NAME
from tests.models import tiny, tiny_text
from tests.objectives.test_text_encoder import BOTH, PARAMS


def test_ranks_by_hand():
    texts = np.array([[3, 1], [4, 1], [5, 1], [4, 1]])  # the second and the last are the same
    scores = np.array(
        [[0.9, 0.1, 0.2, 0.3], [0.1, 0.0, 0.2, 0.9], [0.9, 0.8, 0.1, 0.7], [0.1, 0.2, 0.3, 0.0]]
    )
    found = score(scores, texts)
    assert found.text_to_image == 2 / 4  # the first its own, the second that of the same text
    assert found.text_to_image_5 == 1
    # The pictures' best texts are the first, the third, the last and the second.
    assert found.image_to_text == 2 / 4
    assert found.chance == 6 / 16 and found.pairs == 4


def test_guesses_are_those_of_the_model_whatever_the_batch():
    held_out, seen = np.asarray(tiny.prompts(10)), np.full((5, 6), 7)
    seen[:, 3:] = 0  # padding is no guess
    networks = {NAME: PARAMS}
    found = guess(BOTH, networks, held_out, seen, batch_size=16)
    best, guessed = (
        np.asarray(part)[:10]
        for part in BOTH.guesses(
            networks,
            jnp.asarray(np.resize(held_out, (16, 6))),
            jax.random.fold_in(jax.random.key(0), 0),
        )
    )
    assert found.tokens == guessed.sum() > 3
    assert found.accuracy == pytest.approx((best == held_out)[guessed].mean())
    assert found.unigram == pytest.approx((held_out == 7)[guessed].mean())


def test_a_split_is_compared_as_a_whole():
    pairs = {"text_tokens": np.asarray(tiny.prompts(7)), "image": tiny.images(7, tiny_text.SIZE)}
    whole, parts = (find(BOTH, {NAME: PARAMS}, pairs, batch_size=size) for size in (7, 4))
    assert whole == parts and whole.pairs == 7
    assert "chance: 0.1" in table(None, whole)
    texts = dataclasses.replace(BOTH, contrastive_weight=0.0, model=tiny_text.text_encoder())
    with pytest.raises(NotOffered):
        find(texts, {NAME: PARAMS}, pairs)
