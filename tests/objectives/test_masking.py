"""Contract: BERT's shares of tokens are hidden, replaced and left, and never of padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.objectives.masking import SPECIAL, Masking, masked_loss
from tests.models import tiny

ROWS, LENGTH, REAL, VOCAB = 2000, 64, 50, 100


def texts():
    """Rows of REAL pieces, an end and padding."""
    tokens = np.random.default_rng(0).integers(SPECIAL, VOCAB, (ROWS, LENGTH)).astype(np.int32)
    tokens[:, REAL], tokens[:, REAL + 1 :] = 1, 0
    return tokens


def hide(masking, tokens, seed=0):
    hidden = tiny.jit(lambda *inputs: masking(*inputs, VOCAB))(
        jnp.asarray(tokens), tiny.keys(len(tokens), seed)
    )
    return [np.asarray(part) for part in hidden]


def within(share, expected, count):
    """Within five standard deviations of a share of `count` draws."""
    assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("span", [1.0, 3.8])
def test_shares_are_those_of_bert_within_sampling_error(span):
    tokens = texts()
    read, hidden, guessed = hide(Masking(span=span), tokens)
    assert not guessed[:, REAL:].any() and not hidden[:, REAL:].any()
    assert (read[:, REAL:] == tokens[:, REAL:]).all()
    drawn = ROWS * REAL / (3 * span)  # what is in a span is not drawn apart
    within(guessed[:, :REAL].mean(), 0.15, drawn)
    assert not (hidden & ~guessed).any()
    of_guessed = drawn * 0.15
    within(hidden[guessed].mean(), 0.8, of_guessed)
    changed = read != tokens
    assert not (changed & ~guessed).any() and not (changed & hidden).any()
    # Of the random pieces, one in VOCAB is what was there.
    within(changed[guessed].mean(), 0.1 * (1 - 1 / (VOCAB - SPECIAL)), of_guessed)
    assert read[changed].min() >= SPECIAL and read.max() < VOCAB
    # Every position alike, the first and the last as well.
    assert np.abs(guessed[:, :REAL].mean(0) - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / ROWS)


def test_spans_have_their_length_and_one_fate():
    _, hidden, guessed = hide(Masking(span=3.8), texts())
    begins = guessed & ~np.pad(guessed[:, :-1], ((0, 0), (1, 0)))
    # Those that the end of the text cuts are shorter, two that touch are one.
    assert guessed.sum() / begins.sum() == pytest.approx(3.8, rel=0.1)
    inside = guessed[:, 1:] & guessed[:, :-1]
    assert (hidden[:, 1:] == hidden[:, :-1])[inside].all()
    single = hide(Masking(), texts())[2]
    assert (single[:, 1:] & single[:, :-1]).sum() > 0  # by themselves, neighbours as well


def test_a_text_is_hidden_alike_wherever_it_stands():
    tokens = texts()[:8]
    whole = hide(Masking(), tokens)
    keys = tiny.keys(8)[4:]
    parts = tiny.jit(lambda *inputs: Masking()(*inputs, VOCAB))(jnp.asarray(tokens[4:]), keys)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one[4:], other)
    assert (hide(Masking(), tokens, seed=1)[2] != whole[2]).any()


def test_the_loss_is_that_of_numpy_and_nothing_else_counts():
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(2, 3, 5)), np.array([[2, 4, 0], [3, 1, 0]])
    guessed = np.array([[True, True, False], [True, False, False]])
    nats = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(nats[0, 0, 2] + nats[0, 1, 4] + nats[1, 0, 3]) / 3
    right = np.mean(
        [logits[0, 0].argmax() == 2, logits[0, 1].argmax() == 4, logits[1, 0].argmax() == 3]
    )
    loss, accuracy = masked_loss(jnp.float32(logits), jnp.asarray(tokens), jnp.asarray(guessed))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(accuracy) == pytest.approx(right)
    gradient = jax.grad(lambda x: masked_loss(x, tokens, guessed)[0])(jnp.float32(logits))
    assert not np.any(np.asarray(gradient)[~guessed]) and np.all(np.asarray(gradient)[guessed])
    nothing = masked_loss(jnp.float32(logits), jnp.asarray(tokens), jnp.zeros((2, 3), bool))
    assert [float(value) for value in nothing] == [0, 0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": 0.0}, "at 0 nothing is to be guessed"),
        ({"rate": 1.0}, "at 1 nothing is left"),
        ({"hidden": 0.8, "replaced": 0.3}, "add up to more than 1"),
        ({"rate": 0.9, "span": 3.0}, r"no token between spans of 3.* 0\.75 at most"),
    ],
)
def test_shares_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        Masking(**settings)
