"""Contract: one objective for class, part of a picture, or nothing."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.encoder_decoder import example_keys
from babeldraw.models.image_decoder import NO_CLASS
from babeldraw.objectives import losses
from babeldraw.objectives.alarms import Plan
from babeldraw.objectives.token_prediction import CONDITION_DROPOUT
from babeldraw.sampling.generate import generate_tokens
from tests.models import tiny
from tests.objectives import tiny_runs

KEY = jax.random.key(3)
OBJECTIVE = tiny_runs.image_tokens()
PARAMS = tiny.random_params(OBJECTIVE.model)
CONSTANTS = OBJECTIVE.constants()
CLASSES = jnp.array([2, 0, 1, NO_CLASS], jnp.int32)
BATCH = {"class_id": CLASSES, "image": jnp.asarray(tiny.images(4))}
TOKENS = tiny.jit(OBJECTIVE.image_tokens)(CONSTANTS, BATCH)
ENCODED = {"class_id": CLASSES, "image_tokens": TOKENS}


def train_loss(objective, batch, params=PARAMS):
    def loss(params, constants, batch, key):
        return objective.train_loss(params, {}, constants, batch, key, 0)

    return tiny.jit(loss)(params, CONSTANTS, batch, KEY)


def test_every_parameter_gets_a_gradient():
    def loss(params):
        return OBJECTIVE.train_loss(params, {}, CONSTANTS, ENCODED, KEY, 0)[0]

    gradient = tiny.jit(jax.grad(loss))(PARAMS)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    # The classes that the batch has, and no other.
    plain = dict(ENCODED, class_id=jnp.array([2, 2, 0, 2]))
    of_classes = tiny.jit(
        jax.grad(lambda params: OBJECTIVE.train_loss(params, {}, CONSTANTS, plain, KEY, 0)[0])
    )(PARAMS)["class_embedding"]["table"]
    assert [bool(np.any(row)) for row in of_classes] == [True, False, True]


def test_class_dropout_of_everything_is_unconditional_exactly():
    """As the same weights without a table of classes."""
    everything = tiny_runs.image_tokens(class_dropout_rate=1.0)
    without = tiny_runs.image_tokens(num_classes=0)
    weights = {name: leaf for name, leaf in PARAMS.items() if name != "class_embedding"}
    assert jax.tree.map(jnp.shape, weights) == jax.tree.map(
        jnp.shape, tiny.random_params(without.model)
    )
    found, _ = train_loss(everything, ENCODED)
    expected, metrics = train_loss(without, {"image_tokens": TOKENS}, weights)
    assert found == expected == metrics["loss"]
    assert found != train_loss(OBJECTIVE, ENCODED)[0]


def test_class_dropout_is_keyed_by_the_example():
    """What an example loses does not depend on those beside it, and half of all lose it."""
    half = tiny_runs.image_tokens(class_dropout_rate=0.5, dropout_rate=0.0)
    count = 400
    batch = {"class_id": jnp.full((count,), 1), "image_tokens": jnp.tile(TOKENS[:1], (count, 1))}
    mean = float(train_loss(half, batch)[0])
    logits = tiny.jit(lambda ids: half.model.apply({"params": PARAMS}, TOKENS[:1], ids))
    with_class, without = (
        float(losses.token_cross_entropy(logits(jnp.array([each])), TOKENS[:1]))
        for each in (1, NO_CLASS)
    )
    keys = example_keys(jax.random.fold_in(KEY, CONDITION_DROPOUT), count)
    share = float(jnp.mean(jax.vmap(lambda key: jax.random.bernoulli(key, 0.5))(keys)))
    assert 0.4 < share < 0.6
    assert mean == pytest.approx(with_class + share * (without - with_class), rel=1e-5)


def test_evaluation_says_what_the_class_is_worth():
    metrics = tiny.jit(OBJECTIVE.evaluate)({"image_tokens": PARAMS}, CONSTANTS, BATCH, KEY)
    apply = tiny.jit(lambda ids: OBJECTIVE.model.apply({"params": PARAMS}, TOKENS, ids))
    for name, ids in (("loss", CLASSES), ("loss_without_class", jnp.full((4,), NO_CLASS))):
        expected = float(losses.token_cross_entropy(apply(ids), TOKENS))
        assert float(metrics[name]) == pytest.approx(expected, rel=1e-5)
    values = OBJECTIVE.summarize({"loss": np.float32(2.5), "loss_without_class": np.float32(2.75)})
    assert values == {"loss": 2.5, "loss_without_class": 2.75, "class_gap": 0.25}


def test_a_moving_average_is_kept_and_evaluated():
    objective = dataclasses.replace(OBJECTIVE, ema_decay=0.9)
    assert [p.name for p in objective.players()] == ["image_tokens", "image_tokens_ema"]
    noise = jax.tree.map(jnp.zeros_like, PARAMS)
    both = {"image_tokens": noise, "image_tokens_ema": PARAMS}
    evaluate = tiny.jit(objective.evaluate)
    averaged = evaluate(both, CONSTANTS, ENCODED, KEY)
    assert averaged == evaluate({**both, "image_tokens": PARAMS}, CONSTANTS, ENCODED, KEY)
    assert averaged != evaluate({**both, "image_tokens_ema": noise}, CONSTANTS, ENCODED, KEY)


def test_without_classes_there_is_one_loss_and_nothing_to_read():
    without = tiny_runs.image_tokens(num_classes=0)
    assert {*without.batch_shapes(2)} == {"image"}
    assert {*OBJECTIVE.batch_shapes(2)} == {"image", "class_id"}
    found = jax.eval_shape(
        without.evaluate,
        {"image_tokens": tiny.random_params(without.model)},
        CONSTANTS,
        {"image_tokens": TOKENS},
        KEY,
    )
    assert {*found} == {"loss"}
    assert without.summarize({"loss": np.float32(2)}) == {"loss": 2.0}
    assert without.alarms({}, Plan(1000, 4)) == []


def test_z_loss_is_added_with_its_weight_and_reported_without():
    plain, _ = train_loss(OBJECTIVE, ENCODED)
    total, metrics = train_loss(dataclasses.replace(OBJECTIVE, z_loss=0.5), ENCODED)
    assert float(metrics["loss"]) == pytest.approx(float(plain), rel=1e-6)
    assert float(metrics["z_loss"]) > 0.1
    assert float(total) == pytest.approx(float(plain) + 0.5 * float(metrics["z_loss"]), rel=1e-6)


def test_z_loss_brings_normalisers_near_zero():
    """The same steps with and without it."""

    def after(weight):
        objective = dataclasses.replace(OBJECTIVE, z_loss=weight)
        rule = tiny_runs.ADAM.make()

        def step(_, carry):
            params, state = carry
            gradient = jax.grad(
                lambda params: objective.train_loss(params, {}, {}, ENCODED, KEY, 0)[0]
            )(params)
            updates, state = rule.update(gradient, state, params)
            return jax.tree.map(jnp.add, params, updates), state

        @tiny.jit
        def trained(params):
            params, _ = jax.lax.fori_loop(0, 30, step, (params, rule.init(params)))
            return losses.z_loss(OBJECTIVE.model.apply({"params": params}, TOKENS, CLASSES))

        return float(trained(PARAMS))

    assert after(1.0) < 0.5 * after(0.0)


def test_each_class_is_drawn_beside_its_pictures():
    draw = tiny.jit(OBJECTIVE.pictures)
    sheet = np.asarray(draw({"image_tokens": PARAMS}, CONSTANTS, BATCH, KEY)["samples"])
    assert OBJECTIVE.sheet_columns() == {"samples": ("real", "rebuilt", "drawn")}
    np.testing.assert_array_equal(sheet[:, 0], BATCH["image"])
    tokens, _ = tiny.jit(lambda keys: generate_tokens(OBJECTIVE.model, PARAMS, CLASSES, keys))(
        example_keys(KEY, 4)
    )
    codec = OBJECTIVE.codec({"image_tokens": PARAMS, **CONSTANTS})
    np.testing.assert_array_equal(sheet[:, 2], codec.decode(np.asarray(tokens)))


def test_classes_that_the_model_does_not_have_are_refused():
    OBJECTIVE.check_batch({"class_id": np.array([NO_CLASS, 2]), "image_tokens": np.zeros((2, 20))})
    with pytest.raises(UserError, match=r"class 3, and the model knows 3 of them, .* NUM_CLASSES"):
        OBJECTIVE.check_batch({"class_id": np.array([0, 3])})


def test_a_dataset_with_another_number_of_classes_is_refused():
    def dataset(*names):
        return types.SimpleNamespace(class_names=lambda: names)

    OBJECTIVE.check_dataset(dataset("cat", "dog", "owl"), CONSTANTS)
    for names, message in (
        (("cat", "dog"), "has 2 classes, and NUM_CLASSES is 3: set it to 2, or CLASS_FEATURE"),
        ((), "has no classes, and NUM_CLASSES is 3: set CLASS_FEATURE .* or NUM_CLASSES to 0"),
    ):
        with pytest.raises(UserError, match=message):
            OBJECTIVE.check_dataset(dataset(*names), CONSTANTS)
    without = tiny_runs.image_tokens(num_classes=0)
    with pytest.raises(UserError, match="has 2 classes, and NUM_CLASSES is 0: set it to 2"):
        without.check_dataset(dataset("cat", "dog"), CONSTANTS)


def test_a_class_that_is_not_read_raises_an_alarm():
    """Three classes of pictures of 20 tokens can tell ln(3) / 20 = 0.055 nats a token."""

    def alarms(gap, seen, step=900):
        history = {"class_gap": {"eval": [(step, gap)], "seen": [(step, seen)]}}
        return [alarm.message for alarm in OBJECTIVE.alarms(history, Plan(1000, 4))]

    (unread,) = alarms(0.001, 0.005)
    assert "classes are not read; train for more" in unread
    (by_heart,) = alarms(-0.01, 0.2)
    assert "0.2 on seen ones (alarm below 0.0055 on held-out ones, 10% of what 3" in by_heart
    assert "learned by heart, and tell nothing" in by_heart
    assert alarms(0.006, 0.001) == alarms(0.0, 0.0, step=100) == []
