"""Contract: stages start from one another; layouts, grids and vocabularies may differ."""

import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from babeldraw.errors import UserError
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import placing
from babeldraw.training.keeping import class_names
from babeldraw.training.keeping.checkpoint_files import by_name
from babeldraw.training.keeping.checkpoints import load_params
from babeldraw.training.keeping.init_from import InitFrom, read_start
from babeldraw.training.keeping.resizing import interpolate, match_pieces
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.keeping.settings import write_settings
from babeldraw.training.keeping.starting import first_state
from babeldraw.training.machine import Machine
from babeldraw.training.state import abstract_state, describe_state
from tests.models import tiny
from tests.objectives import tiny_runs
from tests.training.keeping.test_resizing import pieces

ONE = Machine()
PIPELINED = Machine(mesh={"data": 2, "stage": 2}, num_microbatches=2)
THEIRS, OURS = pieces("red", "cat", "old"), pieces("cat", "blue", "red", "dog")


@dataclasses.dataclass
class Data:
    vocabulary_model: bytes = THEIRS
    classes: tuple[str, ...] = ()

    def class_names(self):
        return self.classes


def begin(objective, machine=ONE, init_from=None, vocabulary=THEIRS, seed=0, classes=()):
    """What a run's first state is, with what describes it; nothing is trained."""
    objective = objective.with_execution(machine.execution)
    devices = jax.devices()[: 4 if machine is PIPELINED else 1]
    mesh = make_mesh(machine.mesh, devices)
    with placing(mesh, machine.rules):
        variables = describe_state(objective, mesh, machine.rules)
        start = init_from and read_start(init_from, objective, variables, Data(vocabulary, classes))
        state = first_state(objective, seed, abstract_state(objective, variables), start)
    return state, variables, start


def write(directory, objective, machine=ONE):
    """A run that has saved its first state."""
    state, variables, _ = begin(objective, machine, seed=5)
    checkpoints = Checkpoints(str(directory), keep=1, seed=5, variables=variables)
    checkpoints.save(1, state)
    checkpoints.close()
    write_settings(epath.Path(directory), {"objective": objective})
    (directory / "vocabulary.model").write_bytes(THEIRS)
    return InitFrom(model_dir=str(directory))


def arrays(tree):
    return {name: np.asarray(leaf) for name, leaf in by_name(tree).items()}


def short(**settings):
    return tiny_runs.text_to_image(encoder_layers=1, decoder_layers=2, **settings)


@pytest.mark.parametrize(("machine", "theirs"), [(ONE, PIPELINED), (PIPELINED, ONE)])
def test_the_decoder_of_an_image_tokens_run_whatever_the_layouts(tmp_path, machine, theirs):
    other = write(tmp_path / "vim", tiny_runs.image_tokens(decoder_layers=2), theirs)
    asked = dataclasses.replace(other, rules=(("text_to_image", "image_tokens"),))
    state, _, start = begin(tiny_runs.text_to_image(), machine, asked)
    found, taken = arrays(state.params), arrays(load_params(other.model_dir))
    kernel = "decoder/layers/mlp/wi/kernel"
    assert found[f"text_to_image/{kernel}"].ndim == (4 if machine is PIPELINED else 3)
    np.testing.assert_array_equal(
        found[f"text_to_image/{kernel}"].reshape(2, 16, 24), taken[f"image_tokens/{kernel}"]
    )
    kinds = {row.name: row.kind for row in start.rows}
    assert {kinds[f"text_to_image/{name}"] for name in (kernel, "logits/kernel")} == {"taken"}
    assert kinds["text_to_image/text_embedding/table"] == "fresh"
    assert kinds["image_tokens/class_embedding/table"] == "unused"


def test_a_larger_grid_and_another_vocabulary(tmp_path):
    other = write(tmp_path / "other", short(text_vocab_size=6))
    model = tiny.transformer(encoder_layers=1, rows=8, columns=10, text_vocab_size=8, text_length=9)
    large = tiny.tokenizer(image_size=(32, 40))
    larger = dataclasses.replace(short(), model=model, tokenizer=large)
    fresh = dataclasses.replace(other, fresh=("text_embedding",))
    with pytest.raises(UserError, match=r"row/table is \[4, 16\] there.*set INIT_RESIZE = True,"):
        begin(larger, init_from=fresh, vocabulary=OURS)
    # Of the same size it would be taken, and its rows would be those of other pieces.
    with pytest.raises(UserError, match="text_embedding/table is of other pieces there"):
        begin(short(text_vocab_size=6), init_from=other, vocabulary=pieces("a", "b", "c"))
    resized = dataclasses.replace(other, resize=True)
    state, _, start = begin(larger, init_from=resized, vocabulary=OURS)
    found, taken = arrays(state.params), arrays(load_params(other.model_dir))
    own = arrays(begin(larger)[0].params)
    for side, was, now in (("row", 4, 8), ("column", 5, 10)):
        name = f"text_to_image/image_positions/{side}/table"
        np.testing.assert_array_equal(found[name], interpolate(taken[name], (was,), (now,)))
    name = "text_to_image/text_positions/table"
    np.testing.assert_array_equal(found[name], np.concatenate([taken[name], own[name][6:]]))
    name, rows = "text_to_image/text_embedding/table", match_pieces(OURS, THEIRS)
    expected = [taken[name][there] if there >= 0 else own[name][i] for i, there in enumerate(rows)]
    np.testing.assert_array_equal(found[name][: len(rows)], expected)
    assert sum(row.kind == "resized" for row in start.rows) == 4


def test_other_classes_are_matched_by_name(tmp_path):
    objective = tiny_runs.image_tokens(decoder_layers=1)
    other = write(tmp_path / "other", objective)
    count = objective.model.num_classes
    there = tuple(f"class {number}" for number in range(count))
    class_names.write(epath.Path(other.model_dir), there)
    here = ("another", *there[:-1])  # As many: left alone, each would be taken for the next.
    with pytest.raises(UserError, match="class_embedding/table is of other classes there"):
        begin(objective, init_from=other, classes=here)
    begin(objective, init_from=other, classes=there)
    resized = dataclasses.replace(other, resize=True)
    state, _, start = begin(objective, init_from=resized, classes=here)
    name = "image_tokens/class_embedding/table"
    found, taken = arrays(state.params)[name], arrays(load_params(other.model_dir))[name]
    np.testing.assert_array_equal(found[1:], taken[:-1])
    own = arrays(begin(objective)[0].params)[name]
    np.testing.assert_array_equal(found[0], own[0])
    (row,) = [row for row in start.rows if row.kind == "resized"]
    assert row.note == f"{count - 1} of {count} classes"


def test_a_tokenizer_of_larger_pictures(tmp_path):
    objective = tiny_runs.tokenizer()
    other = write(tmp_path / "other", objective)
    turned = dataclasses.replace(objective, model=tiny.tokenizer(image_size=(20, 16)))
    with pytest.raises(UserError, match=r"positions/table is of a grid of \(4, 5\) there"):
        begin(turned, init_from=other)
    larger = dataclasses.replace(objective, model=tiny.tokenizer(image_size=(32, 40)))
    state, *_ = begin(larger, init_from=dataclasses.replace(other, resize=True))
    found, taken = arrays(state.params), arrays(load_params(other.model_dir))
    for side in ("encoder", "decoder"):
        name = f"tokenizer/{side}/positions/table"
        np.testing.assert_array_equal(found[name], interpolate(taken[name], (4, 5), (8, 10)))
    name = "tokenizer/quantizer/codebook"
    np.testing.assert_array_equal(found[name], taken[name])
