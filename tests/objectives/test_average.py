"""Contract: a moving average is kept beside what is trained, and is what everybody then takes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.models.super_resolution import SuperResolver
from babeldraw.objectives import coca, super_resolution, text_to_image
from babeldraw.objectives.average import moving_average
from babeldraw.objectives.super_resolution import SuperResolution
from babeldraw.parallel.rules import unbox
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny, tiny_coca
from tests.objectives import tiny_runs

KEY = jax.random.key(0)
SMALL = tiny.tokenizer(image_size=4, patch_size=2)
NAMES = {"text_to_image": text_to_image, "super_resolution": super_resolution, "coca": coca}
DECAY = 0.75


def test_a_moving_average_player_holds_the_moving_average():
    values = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    player = moving_average("average", lambda params, *_: params["followed"], 0.9)
    own, expected = {"x": jnp.zeros(3)}, np.zeros(3)
    state = player.optimizer.init(own)
    for value in values:
        everyone = {"followed": {"x": jnp.asarray(value)}}
        gradients, _ = jax.grad(player.loss, has_aux=True)(own, everyone, {}, {}, 0, 0)
        updates, state = player.optimizer.update(gradients, state, own)
        own = optax.apply_updates(own, updates)
        expected = 0.9 * expected + 0.1 * value
    np.testing.assert_allclose(own["x"], expected, rtol=1e-5)


def make(name):
    """An objective without average, and a batch for it."""
    text = tiny.prompts(4)
    if name == "text_to_image":
        images = jnp.asarray(tiny.images(4))
        return tiny_runs.text_to_image(), {"text_tokens": text, "image": images}
    if name == "coca":
        model = tiny_coca.coca()
        objective = coca.ContrastiveCaptioner(model=model, optimizer=tiny_runs.ADAM)
        images = jnp.asarray(tiny.images(4, tiny_coca.SIZE))
        return objective, {"text_tokens": text, "image": images}
    objective = SuperResolution(
        model=SuperResolver(factor=2, channels=4, num_blocks=1, dtype=jnp.float32),
        tokenizer=SMALL,
        tokenizer_params=lambda: tiny.random_params(SMALL, seed=1),
        optimizer=tiny_runs.ADAM,
    )
    return objective, {"image": jnp.asarray(tiny.images(4, 8))}


@pytest.fixture(scope="module", params=NAMES)
def after_two_steps(request):
    """Player, objective, batch, the states before and after each of two steps, and metrics."""
    plain, batch = make(request.param)
    objective = dataclasses.replace(plain, ema_decay=DECAY)
    constants = objective.constants()
    states = [tiny.jit(lambda: init_state(objective, 0))()]
    step = tiny.jit(make_train_step(objective))
    for _ in range(2):
        state, metrics = step(states[-1], constants, batch)
        states.append(state)
    return NAMES[request.param].NAME, plain, objective, batch, constants, states, metrics


def test_average_follows_what_is_trained(after_two_steps):
    name, plain, objective, _, _, states, metrics = after_two_steps
    assert [p.name for p in objective.players()] == [name, f"{name}_ema"]
    assert [p.name for p in plain.players()] == [name]
    assert metrics.keys() >= {"loss", "grad_norm"} and not any("ema" in m for m in metrics)
    first, *moved = [state.params for state in states]
    jax.tree.map(np.testing.assert_array_equal, first[f"{name}_ema"], first[name])
    expected = first[name]
    for params in moved:
        expected = jax.tree.map(lambda a, b: DECAY * a + (1 - DECAY) * b, expected, params[name])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
            params[f"{name}_ema"],
            expected,
        )


def test_average_changes_nothing_in_training(after_two_steps):
    name, plain, _, batch, constants, states, _ = after_two_steps
    step = tiny.jit(make_train_step(plain))
    state = tiny.jit(lambda: init_state(plain, 0))()
    for _ in range(2):
        state, _ = step(state, constants, batch)
    # Another program, so that sums may be rounded in another order.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
        state.params[name],
        states[-1].params[name],
    )


def test_evaluation_is_of_the_average(after_two_steps):
    name, plain, objective, batch, constants, states, _ = after_two_steps
    params = states[-1].params

    @tiny.jit
    def both(params, constants, batch):
        own = objective.evaluate(params, constants, batch, KEY)
        average = {name: params[f"{name}_ema"]}
        return own, plain.evaluate(average, constants, batch, KEY)

    own, expected = both(params, constants, batch)
    assert own == expected
    last = tiny.jit(plain.evaluate)({name: params[name]}, constants, batch, KEY)
    assert own["loss" if "loss" in own else "l2"] != last["loss" if "loss" in last else "l2"]


def test_what_draws_enlarges_and_compares_takes_the_average(after_two_steps):
    name, _, objective, _, constants, states, _ = after_two_steps
    networks = {**constants, **states[-1].params}
    offered = {"text_to_image": "sampler", "super_resolution": "upscaler", "coca": "reranker"}
    made = getattr(objective, offered[name])(networks)
    jax.tree.map(np.testing.assert_array_equal, made.params, networks[f"{name}_ema"])


def test_average_lies_where_its_parameters_lie(after_two_steps):
    name, _, objective, *_ = after_two_steps
    boxes = objective.abstract_params
    assert jax.tree.structure(boxes[name]) == jax.tree.structure(boxes[f"{name}_ema"])
    shapes = jax.tree.map(lambda a: a.shape, unbox(boxes))
    assert shapes[name] == shapes[f"{name}_ema"]
