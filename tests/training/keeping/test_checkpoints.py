import jax
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.training.keeping.checkpoints import load_constants, load_params, save_constants
from babeldraw.training.machine import Machine
from tests.training.toy import Toy


def test_load_params_gives_plain_host_arrays(run, tmp_path):
    state, _ = run(2)
    params = load_params(str(tmp_path / "run"))
    assert set(params) == {"painter", "critic"}
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(params["critic"]["line"], state.params["critic"]["line"])
    assert jax.tree.map(np.shape, params) == jax.tree.map(
        np.shape, jax.device_get(jax.tree.map(lambda x: x, state.params))
    )


def test_only_the_latest_are_kept(run, tmp_path):
    run(5, machine=Machine(checkpoint_every=1, checkpoint_keep=2))
    steps = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert steps == {"4", "5"}
    with pytest.raises(UserError, match="no checkpoint of step 3: its latest is 5"):
        load_params(str(tmp_path / "run"), step=3)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_directory_without_checkpoints(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"no checkpoint in .*{name}"):
        load_params(str(tmp_path / name))


def test_constants_of_a_missing_directory(tmp_path):
    with pytest.raises(UserError, match=r"no run directory .*missing"):
        load_constants(str(tmp_path / "missing"))


def test_constants_of_a_start_that_failed_are_replaced(tmp_path):
    save_constants(str(tmp_path), {"a": {"b": np.zeros(3, np.float32)}})
    save_constants(str(tmp_path), {"a": {"b": np.ones((2, 2), np.int8)}})
    kept = load_constants(str(tmp_path))["a"]["b"]
    np.testing.assert_array_equal(kept, np.ones((2, 2), np.int8))
    assert kept.dtype == np.int8
    save_constants(str(tmp_path), {})
    assert load_constants(str(tmp_path)) == {}


def test_a_player_that_is_missing_is_named(run):
    class Alone(Toy):
        def init(self, key):
            return {"painter": super().init(key)["painter"]}

        def players(self):
            return super().players()[:1]

    run(1)
    with pytest.raises(UserError, match=r"params/critic/line is float32\[8\] .* is missing"):
        run(2, objective=Alone())
