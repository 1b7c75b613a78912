"""Contract: stage 2 starts from a pretrained text encoder by a gin file's rules, bit for bit."""

import dataclasses

import gin
import numpy as np
import pytest

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.errors import UserError
from babeldraw.models.text_encoder import PARAMETERS
from babeldraw.objectives.coca import ContrastiveCaptioner
from babeldraw.objectives.text_encoder import TextEncoding
from babeldraw.training.keeping.checkpoints import load_params
from tests.models import tiny_coca, tiny_text
from tests.objectives import tiny_runs
from tests.training.keeping.test_init_real import ONE, PIPELINED, arrays, begin, write

TEXT_ENCODER = TextEncoding(
    model=tiny_text.text_encoder(pictures=tiny_text.pixels()),
    optimizer=tiny_runs.ADAM,
    contrastive_weight=1.0,
    ema_decay=0.5,
)
COCA = ContrastiveCaptioner(model=tiny_coca.coca(text_layers=2), optimizer=tiny_runs.ADAM)


def rules(name):
    parse_gin(
        [f"gin/{file}.gin" for file in ("init_from", name)],
        ["INIT_FROM = 'unused'"],
    )
    return gin.query_parameter("%INIT_RULES")


@pytest.mark.parametrize("machine", [ONE, pytest.param(PIPELINED, marks=pytest.mark.slow)])
def test_the_text_encoder_is_taken_and_all_else_is_fresh(tmp_path, machine):
    other = write(tmp_path / "read", TEXT_ENCODER)
    asked = dataclasses.replace(other, rules=rules("from_text_encoder"))
    state, _, start = begin(tiny_runs.text_to_image(), machine, asked)
    taken = arrays(load_params(other.model_dir))
    count = 0
    for name, found in arrays(state.params).items():
        player, _, own = name.partition("/")
        assert player == "text_to_image"
        there = taken.get(f"text_encoder_ema/{own}")  # what is taken where there is an average
        if own.split("/")[0] in PARAMETERS:
            np.testing.assert_array_equal(found.reshape(there.shape), there)
            count += 1
    kinds = [row.kind for row in start.rows]
    assert kinds.count("taken") == count > 10
    assert {row.kind for row in start.rows if "/decoder" in row.name} == {"fresh"}
    assert {row.kind for row in start.rows if "masked" in row.name or "pictures" in row.name} == {
        "unused"
    }


@pytest.mark.slow
def test_the_text_tower_of_a_coca_is_taken(tmp_path):
    other = write(tmp_path / "coca", COCA)
    asked = dataclasses.replace(other, rules=rules("from_coca"))
    state, _, _ = begin(tiny_runs.text_to_image(), ONE, asked)
    found, taken = arrays(state.params), arrays(load_params(other.model_dir))
    for own, theirs in (
        ("encoder/layers/mlp/wi/kernel", "text_decoder/layers/mlp/wi/kernel"),
        ("encoder_norm/scale", "text_norm/scale"),
        ("text_embedding/table", "text_embedding/table"),
        ("text_positions/table", "text_positions/table"),
    ):
        np.testing.assert_array_equal(found[f"text_to_image/{own}"], taken[f"coca/{theirs}"])


def test_another_width_is_refused_and_named(tmp_path):
    other = write(
        tmp_path / "wide",
        TextEncoding(model=tiny_text.text_encoder(d_model=24), optimizer=tiny_runs.ADAM),
    )
    asked = dataclasses.replace(other, rules=rules("from_text_encoder"))
    with pytest.raises(UserError, match=r"mlp_norm/bias is \[2, 24\] there and \[2, 16\] here"):
        begin(tiny_runs.text_to_image(), ONE, asked)
