"""Contract: of parameters and of the optimizer's arrays T5X reads the axes that we read."""

import jax
from flax.linen import partitioning
from flax.traverse_util import flatten_dict

from babeldraw.parallel.mesh import one_device
from babeldraw.parallel.rules import TRAINING_RULES, is_box, logical_axes, unbox
from babeldraw.t5x_models.axes import axis_rules, params_axes, state_axes
from babeldraw.training.state import describe_state
from tests.t5x_models import made


def test_the_table_names_no_axis_that_t5x_has_not():
    rules = axis_rules()
    assert [name for name, _ in rules] == [name for name, _ in TRAINING_RULES]
    assert {where for _, where in rules} == {None, "data", "model"}
    assert dict(rules)["batch"] == "data" and dict(rules)["mlp"] == "model"
    assert dict(axis_rules(fsdp=True))["embed"] == "data"


def test_axes_of_parameters_and_of_the_optimizer(tmp_path):
    _, objective = made.write_run(tmp_path)
    boxes = objective.abstract_params["text_to_image"]
    # As T5X reads them: without the ending, and the names alone.
    read = flatten_dict(partitioning.get_axis_names(params_axes(boxes)), sep="/")
    named = jax.tree_util.tree_leaves_with_path(boxes, is_leaf=is_box)
    wanted = {"/".join(key.key for key in path): logical_axes(box) for path, box in named}
    assert {name: tuple(spec) for name, spec in read.items()} == wanted

    state = jax.eval_shape(objective.players()[0].optimizer.init, unbox(boxes))
    prefix = "optimizer_state/text_to_image/"
    ours = {
        v.name.removeprefix(prefix): v.axes
        for v in describe_state(objective, one_device(), TRAINING_RULES)
        if v.name.startswith(prefix)
    }
    theirs = state_axes(boxes, state)
    assert {name: tuple(spec) for name, spec in theirs.items()} == ours
    kernel = "decoder/layers/mlp/wi/kernel"
    assert tuple(theirs[f"moment/{kernel}"]) == ("layers", "embed", "mlp")
    assert tuple(theirs[f"column/{kernel}"]) == ("layers", None, "mlp")
    assert tuple(theirs["weight"]) == ()
