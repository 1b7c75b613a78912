"""Contract: a step whose batch goes in parts is the step of the whole batch, in less memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective, Player
from babeldraw.objectives.coca import ContrastiveCaptioner
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES, placing
from babeldraw.training.batches import batch_layout
from babeldraw.training.machine import Machine
from babeldraw.training.state import abstract_state, describe_state, init_state
from babeldraw.training.step import compile_step, make_train_step
from tests.models import tiny, tiny_coca
from tests.objectives import tiny_runs
from tests.objectives.test_tokenizer import all_terms
from tests.training.toy import WIDTH, ToyDataset

PARTS = Execution(accumulate=4)


class Descent:
    """Adam would make a step of the rounding where a gradient is 0."""

    learning_rate = 0.1

    def make(self, layer_axes):
        return optax.sgd(self.learning_rate)


def test_a_tokenizer_step_is_that_of_the_whole_batch_with_revival_average_and_metrics():
    objective = tiny_runs.tokenizer(revive_every=2, ema_decay=0.9)
    objective = dataclasses.replace(objective, optimizer=Descent())
    state = tiny.jit(lambda: init_state(objective, 0))()
    unused = {"share": state.params["code_share"]["share"].at[5].set(0)}
    state = state.replace(step=jnp.int32(1), params=state.params | {"code_share": unused})
    batch = {"image": jnp.asarray(tiny.images(8))}
    (whole, of_whole), (parted, of_parts) = (
        tiny.jit(make_train_step(each))(state, {}, batch)
        for each in (objective, objective.with_execution(PARTS))
    )
    assert of_whole.keys() == of_parts.keys() >= {"loss", "psnr", "codebook_usage", "grad_norm"}
    for name in of_whole:
        assert float(of_parts[name]) == pytest.approx(float(of_whole[name]), rel=1e-6), name
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole, parted)
    revived = parted.params["code_share"]["share"][5]
    assert revived == pytest.approx(1 / tiny.CODES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line(Objective):
    """One player, whose loss is a mean over examples."""

    def batch_shapes(self, batch_size):
        return {"x": jax.ShapeDtypeStruct((batch_size, WIDTH), jnp.float32)}

    def init(self, key):
        return {"line": {"line": jnp.ones(WIDTH)}}

    def players(self):
        optimizer = optax.adamw(1e-2)
        return (Player("line", self._loss, optimizer, 1e-2, reads="examples"),)

    def _loss(self, own, everyone, constants, batch, key, step):
        return jnp.mean(jnp.square(batch["x"] @ own["line"] - 1)), {}

    def evaluate(self, params, constants, batch, key):
        return {"error": jnp.mean(jnp.square(batch["x"] @ params["line"]["line"] - 1))}


def test_a_run_goes_on_in_another_number_of_parts(run):
    settings = {"objective": Line(), "eval_dataset": ToyDataset(length=1), "eval_every": 2}
    whole, expected = run(4, **settings)
    run(2, machine=Machine(accumulate=4), name="parts", **settings)
    parted, records = run(4, machine=Machine(accumulate=2), name="parts", **settings)
    np.testing.assert_allclose(
        parted.params["line"]["line"], whole.params["line"]["line"], rtol=1e-5
    )

    def held_out(records):
        return {step: values["error"] for step, split, values in records if split == "eval"}

    assert held_out(records)[4] == pytest.approx(held_out(expected)[4], rel=1e-5)


def test_what_compares_the_examples_of_a_batch_does_not_go_in_parts():
    coca = ContrastiveCaptioner(model=tiny_coca.coca(), optimizer=tiny_runs.ADAM)
    for objective, player in ((coca, "coca"), (all_terms(), "discriminator")):
        sentence = f"in 4 parts .*the loss of '{player}' compares .*set `accumulate` to 1"
        with pytest.raises(UserError, match=sentence):
            make_train_step(objective.with_execution(PARTS))


def test_a_run_that_is_refused_its_parts_writes_nothing(run, tmp_path):
    eight = ToyDataset()
    for settings, sentence in (
        ({"objective": Line(), "machine": Machine(accumulate=3)}, "does not divide into 3 parts"),
        ({"machine": Machine(accumulate=2)}, "set `accumulate` to 1"),
    ):
        with pytest.raises(UserError, match=sentence):
            run(2, name="refused", train_dataset=eight, **settings)
        assert not (tmp_path / "refused").exists()


def test_the_parts_divide_the_rows_of_each_device():
    objective, mesh = Line().with_execution(PARTS), make_mesh({"data": 8})
    assert batch_layout(objective, 32, mesh).entries["x"].shape == (32, WIDTH)
    with pytest.raises(UserError, match=r"48 does not divide into 4 parts .*a multiple of 32, or"):
        batch_layout(objective, 48, mesh)


def test_memory_falls():
    """What the compiled step needs beside its arguments: activations and gradients."""
    mesh = make_mesh({}, jax.devices()[:1])

    def temporaries(parts):
        objective = tiny_runs.image_tokens().with_execution(Execution(accumulate=parts))
        with placing(mesh, TRAINING_RULES):
            target = abstract_state(objective, describe_state(objective, mesh, TRAINING_RULES))
            held, layout = objective.abstract_constants(), batch_layout(objective, 64, mesh)
            compiled, _ = compile_step(objective, 0, target, held, layout, mesh)
        return compiled.memory_analysis().temp_size_in_bytes

    whole, halves, quarters = map(temporaries, (1, 2, 4))
    print(whole, halves, quarters)
    assert quarters < 0.7 * halves < 0.5 * whole
