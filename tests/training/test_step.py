import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.objectives.base import Player
from babeldraw.optimizers.config import Adafactor, Adam
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES, placing
from babeldraw.training.batches import batch_layout
from babeldraw.training.state import abstract_state, describe_state, init_state, step_key
from babeldraw.training.step import compile_step, make_train_step
from tests.training.toy import Toy, ToyDataset


def one_step(objective, seed=0):
    state = jax.jit(lambda: init_state(objective, seed))()
    batch = {
        name: value for name, value in next(ToyDataset().batches()).items() if name != "caption"
    }
    step = jax.jit(make_train_step(objective, seed))
    after, metrics = step(state, objective.constants(), batch)
    return state, batch, after, metrics


def test_players_move_in_turn():
    objective = Toy()
    state, batch, after, metrics = one_step(objective)
    painter, critic = objective.players()
    key = step_key(0, 0)

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def moved(player, params, index):
        own = params[player.name]
        (loss, _), gradients = jax.value_and_grad(player.loss, has_aux=True)(
            own, params, objective.constants(), batch, jax.random.fold_in(key, index), 0
        )
        updates, _ = player.optimizer.update(gradients, state.optimizer_state[player.name], own)
        return loss, optax.tree.norm(gradients), optax.apply_updates(own, updates)

    loss, norm, new_painter = moved(painter, state.params, 0)
    np.testing.assert_allclose(metrics["painter/loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(metrics["painter/grad_norm"], norm, rtol=1e-6)
    _, _, expected = moved(critic, state.params | {"painter": new_painter}, 1)
    _, _, at_once = moved(critic, state.params, 1)
    np.testing.assert_allclose(after.params["critic"]["line"], expected["line"], rtol=1e-5)
    assert np.abs(expected["line"] - at_once["line"]).max() > 1e-5
    assert int(after.step) == 1


def test_metrics_have_the_schedule_of_their_player():
    _, _, _, metrics = one_step(Toy(learning_rate=0.5))
    assert metrics["painter/learning_rate"] == 0.5
    assert metrics["critic/learning_rate"] == pytest.approx(0.01)
    assert all(value.dtype == jnp.float32 and value.shape == () for value in metrics.values())


def test_one_player_has_no_prefix():
    class Alone(Toy):
        def players(self):
            return super().players()[:1]

    _, _, after, metrics = one_step(Alone())
    assert set(metrics) == {"loss", "made", "grad_norm", "learning_rate"}
    assert set(after.optimizer_state) == {"painter"}


def test_randomness_is_of_the_seed_and_the_step():
    keys = [step_key(seed, step) for seed in (0, 1) for step in (0, 1, 2)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == len(keys)
    assert one_step(Toy(), 0)[3]["painter/loss"] != one_step(Toy(), 1)[3]["painter/loss"]


def test_constraints_stand_in_the_lowered_step():
    """Under `with mesh:` in place of `jax.set_mesh` Flax drops them without a word."""
    objective = Toy()
    mesh = make_mesh({"data": 2, "model": 4})
    with placing(mesh, TRAINING_RULES):
        target = abstract_state(objective, describe_state(objective, mesh, TRAINING_RULES))
        lowered = jax.jit(make_train_step(objective)).lower(
            target, objective.constants(), objective.batch_shapes(16)
        )
        text = lowered.as_text()
        assert '<@mesh, [{"data", "stage"}, {"model"}]>' in text
        assert "sdy.sharding_constraint" in text
        # The compiled step keeps the state where it was: no array changes its place.
        layout = batch_layout(objective, 16, mesh)
        compiled, names = compile_step(objective, 0, target, objective.constants(), layout, mesh)
    placed = jax.tree.map(lambda leaf: leaf.sharding, target)
    same = jax.tree.map(
        lambda found, want, leaf: found.is_equivalent_to(want, leaf.ndim),
        compiled.output_shardings[0],
        placed,
        target,
    )
    assert all(jax.tree.leaves(same))
    assert names[0] == "painter/loss"  # In the players' order.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bumpy(Toy):
    """One player, whose gradient is NaN at one step where its loss is finite."""

    bump_at: int = 2
    optimizer: str = "adafactor"

    def players(self):
        kind = {"adafactor": Adafactor, "adam": Adam}[self.optimizer]
        optimizer = kind(learning_rate=optax.constant_schedule(1e-2)).make()
        return (Player("painter", self._bumpy_loss, optimizer, 1e-2),)

    def _bumpy_loss(self, own, everyone, constants, batch, key, step):
        loss, reported = self._painter_loss(own, everyone, constants, batch, key, step)
        at_bump = jnp.any(batch["index"] == self.bump_at)
        zero = jnp.where(at_bump, 0.0, 1.0) * optax.tree.sum(own) ** 2
        # The derivative of a root at 0 is infinite, and 0 times that is NaN.
        return loss + 0 * jnp.sqrt(zero), reported


@pytest.mark.parametrize("optimizer", ["adafactor", "adam"])
def test_a_step_without_a_finite_gradient_is_skipped_and_counted(run, optimizer):
    objective = Bumpy(optimizer=optimizer)
    state, records = run(4, objective=objective)
    values = {step: record for step, split, record in records if split == "train"}
    assert [values[step]["skipped_steps"] for step in (1, 2, 3, 4)] == [0, 1, 0, 0]
    assert np.isnan(values[2]["grad_norm"])
    assert values[1]["grad_norm"] > 0
    assert np.isfinite(values[4]["loss"])
    assert int(state.step) == 4
    if optimizer == "adafactor":
        assert int(state.optimizer_state["painter"].step) == 3
        assert int(state.optimizer_state["painter"].skipped) == 1
    # As if the step had not been: the state after it is the one before it.
    before, _ = run(1, objective=objective, name="before")
    after, _ = run(2, objective=objective, name="after")
    jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
    if optimizer == "adam":
        left, right = before.optimizer_state, after.optimizer_state
        jax.tree.map(np.testing.assert_array_equal, left, right)


def test_a_player_whose_loss_is_not_finite_stays_and_the_others_move():
    state, _, after, metrics = one_step(Toy(explode_at=1))
    assert np.isnan(metrics["painter/loss"]) and metrics["painter/grad_norm"] == 0
    for part in ("params", "optimizer_state"):
        jax.tree.map(
            np.testing.assert_array_equal,
            getattr(state, part)["painter"],
            getattr(after, part)["painter"],
        )
    assert (state.params["critic"]["line"] != after.params["critic"]["line"]).any()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spiky(Toy):
    """One player, whose loss is a hundred times as large at two steps."""

    optimizer: str = "adafactor"

    def players(self):
        kind = {"adafactor": Adafactor, "adam": Adam}[self.optimizer]
        config = kind(
            learning_rate=optax.constant_schedule(1e-2), spike_factor=10.0, spike_window=3
        )
        rule = config.make(self.layer_axes("painter"))
        return (Player("painter", self._spiky_loss, rule, 1e-2),)

    def _spiky_loss(self, own, everyone, constants, batch, key, step):
        loss, reported = self._painter_loss(own, everyone, constants, batch, key, step)
        return jnp.where(jnp.isin(batch["index"][0], jnp.array([5, 7])), 100, 1) * loss, reported


@pytest.mark.parametrize("optimizer", ["adafactor", "adam"])
def test_a_spike_is_skipped_and_counted_and_a_resumed_run_knows_its_median(run, optimizer):
    objective = Spiky(optimizer=optimizer)
    whole, records = run(8, objective=objective, log_every=4)
    values = {step: record for step, split, record in records if split == "train"}
    assert [values[step]["skipped_steps"] for step in (4, 8)] == [0, 2]
    assert [values[step]["spikes"] for step in (4, 8)] == [0, 2]
    # Stopped between the spikes: the same numbers, to the bit, as without.
    run(6, objective=objective, name="broken")
    resumed, _ = run(8, objective=objective, name="broken")
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    assert int(whole.optimizer_state["painter"].skipped) == 2
    assert int(whole.optimizer_state["painter"].taken) == 6
    before, _ = run(4, objective=objective, name="before")
    after, _ = run(5, objective=objective, name="after")
    jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
