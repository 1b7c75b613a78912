"""Contract: the recipes of super-resolution bind what exists and fit the tokenizers."""

import math

import gin
import jax
import pytest

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.errors import UserError
from babeldraw.parallel.rules import unbox
from babeldraw.sizes import height_and_width

UNUSED = ["MODEL_DIR = 'unused'", "TOKENIZER_CHECKPOINT = 'unused'"]
PUBLISHED = ["gin/runs/super_resolution.gin", "gin/tokenizers/small_small.gin"]
PICTURES = ["MIXTURE_OR_TASK_NAME = 'unused'", "TASK_FEATURE_LENGTHS = {}"]
SMALL = ["gin/runs/super_resolution_small.gin"]
WIDE = ["IMAGE_SIZE = (256, 384)", "ENLARGED_SIZE = (512, 768)"]
FROM_64 = ["IMAGE_SIZE = 64", "ENLARGED_SIZE = 128"]


@pytest.mark.parametrize(
    ("files", "bindings", "size", "count", "players"),
    [
        (PUBLISHED, PICTURES, 512, 14_760_835, 2),
        (PUBLISHED, [*PICTURES, "FACTOR = 4", "ENLARGED_SIZE = 1024"], 1024, 29_514_627, 2),
        (SMALL, [], 64, 47_187, 1),
        (SMALL, FROM_64, 128, 47_187, 1),
        (PUBLISHED, [*PICTURES, *WIDE], (512, 768), 14_760_835, 2),
    ],
)
def test_recipe(files, bindings, size, count, players):
    parse_gin(files, [*UNUSED, *bindings])
    built = gin.query_parameter("loop.train.objective").scoped_configurable_fn()
    params = unbox(built.abstract_params)
    assert built.batch_shapes(2)["image"].shape == (2, *height_and_width(size), 3)
    own = jax.tree.leaves(params["super_resolution"])
    assert sum(math.prod(leaf.shape) for leaf in own) == count
    assert len(built.players()) == len(params) == players
    if players == 2:
        assert built.adversary.discriminator.image_size == size
        assert set(built.abstract_constants()) == {"tokenizer", "perceptual"}


def test_another_factor_is_refused():
    with pytest.raises(UserError, match=r"FACTOR.* is 3: .*factor takes one of 2, 4"):
        parse_gin(PUBLISHED, [*UNUSED, *PICTURES, "FACTOR = 3"])
