"""Contract: the recipes of CoCa build, fit their tasks, and have the published size."""

import gin
import jax
import pytest

from babeldraw.cli.support.gin_config import parse_gin


def objective(*files):
    parse_gin([f"gin/{name}.gin" for name in files], ["MODEL_DIR = 'unused'"])
    return gin.query_parameter("loop.train.objective").scoped_configurable_fn()


@pytest.mark.parametrize(
    "files", [("runs/coca", "models/coca_base", "tasks/coco"), ("runs/coca_small",)]
)
def test_recipes_build_and_fit_their_task(files):
    built = objective(*files)
    lengths = gin.query_parameter("%TASK_FEATURE_LENGTHS")
    shapes = built.batch_shapes(2)
    assert shapes["image"].shape == (2, lengths["image"], lengths["image"], 3)
    assert shapes["text_tokens"].shape == (2, lengths["text"])
    assert [player.name for player in built.players()] == ["coca"]


def test_base_has_the_published_size():
    """383M with 64,000 text tokens (arXiv 2205.01917, table 1); ours has 16,000."""
    built = objective("runs/coca", "models/coca_base", "tasks/coco")
    count = sum(leaf.size for leaf in jax.tree.leaves(built.abstract_params["coca"]))
    assert built.model.text_vocab_size == 16000
    assert count + 2 * 48000 * 768 == pytest.approx(383e6, rel=0.02)
