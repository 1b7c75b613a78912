import dataclasses

import jax
import optax

from babeldraw.objectives.base import Player
from babeldraw.optimizers.config import Adafactor
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES
from babeldraw.training.state import abstract_state, describe_state, init_state
from tests.training.toy import Toy


class Factored(Toy):
    """Its moments are a row and a column of each kernel, and a momentum of the whole."""

    def players(self) -> tuple[Player, ...]:
        optimizer = optax.adafactor(1e-3, min_dim_size_to_factor=2, momentum=0.9)
        return tuple(dataclasses.replace(p, optimizer=optimizer) for p in super().players())


def test_optimizer_state_lives_with_its_parameter_or_everywhere():
    mesh = make_mesh({"data": 2, "model": 4})
    variables = {v.name: v for v in describe_state(Factored(), mesh, TRAINING_RULES)}
    kernel = variables["params/painter/mlp/kernel"]
    moments = [v for name, v in variables.items() if name.endswith("painter/0/v_row/mlp/kernel")]
    momenta = [v for v in variables.values() if "/ema/mlp/kernel" in v.name]
    assert len(moments) == len(momenta) == 1
    assert momenta[0].sharding == kernel.sharding and momenta[0].axes == ("embed", "mlp")
    assert moments[0].shape == (8,) and moments[0].sharding.is_fully_replicated
    assert kernel.bytes_a_device == 8 * 16 * 4 // 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watched(Toy):
    spike_factor: float

    def players(self) -> tuple[Player, ...]:
        config = Adafactor(learning_rate=lambda step: 1e-3, spike_factor=self.spike_factor)
        optimizer = config.make(self.layer_axes("painter"))
        return (dataclasses.replace(super().players()[0], optimizer=optimizer),)


def test_what_spikes_are_told_by_is_on_every_device_and_moves_no_moment():
    mesh = make_mesh({"data": 2, "model": 4})
    plain, watched = (
        {v.name: v for v in describe_state(Watched(spike_factor=factor), mesh, TRAINING_RULES)}
        for factor in (0.0, 4.0)
    )
    inner = {name.replace("/inner/", "/"): v for name, v in watched.items()}
    assert plain.keys() < inner.keys()
    assert all(inner[name].sharding == v.sharding for name, v in plain.items())
    assert any(not v.sharding.is_fully_replicated for v in plain.values())
    added = {name: v for name, v in watched.items() if name not in plain and "inner" not in name}
    ends = sorted(name.rpartition("/")[2] for name in added)
    assert ends == ["losses", "norms", "taken"]  # `skipped` is a name of both
    assert all(v.sharding.is_fully_replicated for v in added.values())


def test_abstract_state_is_that_of_init():
    mesh = make_mesh({"data": 2, "model": 4})
    target = abstract_state(Toy(), describe_state(Toy(), mesh, TRAINING_RULES))
    fresh = jax.eval_shape(lambda: init_state(Toy(), 0))
    described = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), target)
    assert described == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), fresh)
    assert all(leaf.sharding.mesh == mesh for leaf in jax.tree.leaves(target))
