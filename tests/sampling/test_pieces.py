"""Contract: a batch drawn in pieces holds the pictures that `Sampler` draws, whatever is in it."""

import functools

import numpy as np
import pytest

from babeldraw.sampling import pieces as programs
from babeldraw.sampling.pictures import Sampler
from babeldraw.sampling.pieces import PieceSampler, Wanted
from tests.models import tiny

TOKENIZER = tiny.tokenizer()
TEXTS = tiny.transformer(decoder_inputs="row_start_above")
CLASSES = tiny.image_decoder()
PROGRAMS = programs._begin, programs._steps, programs._decode
PROMPTS = np.asarray(tiny.prompts(3))


@functools.cache
def sampler(model=TEXTS, **settings):
    params, of_tokenizer = tiny.random_params(model), tiny.random_params(TOKENIZER, seed=1)
    return Sampler(model, params, TOKENIZER, of_tokenizer, batch_size=4, **settings)


@functools.cache
def pieces(model=TEXTS):
    return PieceSampler(sampler(model))


def finished(batch, steps):
    while batch.advance(steps):
        pass
    return batch


def test_tokens_scores_and_pictures_are_those_of_the_one_program():
    expected = sampler().generate(PROMPTS[:2], num_samples=2)
    wanted = [Wanted(PROMPTS[i : i + 1], number=n) for i in range(2) for n in range(2)]
    for steps in (99, 3):
        batch = finished(pieces().begin(wanted, 4), steps)
        np.testing.assert_array_equal(batch.tokens, expected.tokens.reshape(4, -1))
        np.testing.assert_allclose(batch.scores, expected.scores.reshape(-1), rtol=1e-5)
    difference = batch.images.astype(int) - expected.images.reshape(batch.images.shape)
    assert np.abs(difference).max() <= 1  # compiled quickly
    np.testing.assert_array_equal(pieces().decode(batch.tokens[3:])[0], batch.images[3])


def test_each_picture_has_settings_of_its_own():
    """A guided batch of three, and one row that fills it up."""
    settings = [
        {"guidance_weight": 1.7, "temperature": 0.5},
        {"guidance_weight": 3.0, "cutoff": 0.3},
        {"guidance_weight": 0.0, "temperature": 0.0},
    ]
    wanted = [
        Wanted(
            PROMPTS[i : i + 1],
            weights=(one["guidance_weight"],),
            seed=i,
            temperature=one.get("temperature", 1.0),
            cutoff=one.get("cutoff", 0.0),
        )
        for i, one in enumerate(settings)
    ]
    batch = finished(pieces().begin(wanted, 4), 5)
    assert len(batch.tokens) == 3
    for i, one in enumerate(settings):
        alone = sampler(**one).generate(PROMPTS[i : i + 1], seed=i)
        np.testing.assert_array_equal(batch.tokens[i], alone.tokens[0, 0])
        np.testing.assert_allclose(batch.scores[i], alone.scores[0, 0], rtol=1e-5)


def test_several_texts():
    both = np.stack([PROMPTS[0], PROMPTS[1]])
    weights = 1.5, -0.7
    batch = finished(pieces().begin([Wanted(both, weights)], 1), 4)
    alone = sampler(guidance_weight=weights).generate(both[None])
    np.testing.assert_array_equal(batch.tokens[0], alone.tokens[0, 0])
    # Filled up with a third text of no weight, so that it fits to those that have one.
    filled = Wanted(np.stack([*both, PROMPTS[2]]), (*weights, 0.0), own=2)
    batch = finished(pieces().begin([filled], 1), 4)
    np.testing.assert_array_equal(batch.tokens[0], alone.tokens[0, 0])


def test_a_beginning_and_a_box_in_one_batch_with_a_whole_picture():
    tokens = np.asarray(tiny.pictures_tokens(1, TEXTS, seed=4))[0]
    box = (6, 7, 11, 12)
    beginning = np.arange(20) < 7
    around = np.isin(np.arange(20), box, invert=True)
    one = PROMPTS[:1]
    wanted = [
        Wanted(one, given=tokens, stay=beginning),
        Wanted(one, given=tokens, stay=around),
        Wanted(one),
        Wanted(one, given=tokens, stay=np.ones(20, bool)),
    ]
    batch = finished(pieces().begin(wanted, 4), 6)
    expected = [
        sampler().generate(one, prefix=tokens[None, :7]),
        sampler(redraw=box).generate(one, prefix=tokens[None]),
        sampler().generate(one),
        sampler().generate(one, prefix=tokens[None]),
    ]
    for row, alone in enumerate(expected):
        np.testing.assert_array_equal(batch.tokens[row], alone.tokens[0, 0])
        np.testing.assert_allclose(batch.scores[row], alone.scores[0, 0], rtol=1e-5)


def test_what_is_drawn_is_known_at_every_step():
    whole = finished(pieces().begin([Wanted(PROMPTS[:1])], 1), 99).tokens
    tokens = np.asarray(tiny.pictures_tokens(1, TEXTS))[0]
    given = Wanted(PROMPTS[:1], given=tokens, stay=np.arange(20) >= 18)
    counts, more = [], True
    batch, beside = (pieces().begin([one], 1) for one in (Wanted(PROMPTS[:1]), given))
    while more:
        more = batch.advance(1)
        drawn = batch.drawn[0]
        np.testing.assert_array_equal(batch.tokens[0][drawn], whole[0][drawn])
        assert not batch.tokens[0][~drawn].any()
        counts.append(int(drawn.sum()))
    assert counts[0] == 1 and counts[-1] == 20 and sorted(set(counts)) == counts
    assert max(np.diff(counts)) > 1  # a wavefront: several at a time
    assert beside.drawn[0].tolist() == [False] * 18 + [True] * 2


@pytest.mark.parametrize("weight", [1.0, 1.5])
def test_classes(weight):
    numbers = np.asarray(tiny.classes(3))
    wanted = [Wanted(numbers[i : i + 1], (weight,)) for i in range(3)]
    batch = finished(pieces(CLASSES).begin(wanted, 4), 7)
    expected = sampler(CLASSES, guidance_weight=weight).generate(numbers)
    np.testing.assert_array_equal(batch.tokens, expected.tokens[:, 0])


def test_models_that_differ_in_weights_alone_share_their_programs():
    def draw(seed):
        params = tiny.random_params(TEXTS, seed=seed)
        of_tokenizer = tiny.random_params(TOKENIZER, seed=seed)
        model = tiny.transformer(decoder_inputs="row_start_above")  # equal, and not the same
        own = PieceSampler(Sampler(model, params, tiny.tokenizer(), of_tokenizer))
        tokens = finished(own.begin([Wanted(PROMPTS[:1])], 1), 99).tokens
        return tokens, own.decode(tokens)

    first, _ = draw(1)
    counts = [program._cache_size() for program in PROGRAMS]
    second, _ = draw(2)
    assert (first != second).any()
    assert [program._cache_size() for program in PROGRAMS] == counts
