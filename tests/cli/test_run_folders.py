"""Contract: a folder with runs is as good as the one run in it that fits; else they are named."""

import pathlib
import shutil

import pytest

from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.training.keeping.run_folders import require_run, runs_in
from tests.cli import runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """runs/quickstart with both stages, as `babeldraw quickstart` leaves it."""
    folder = tmp_path_factory.mktemp("here") / "runs"
    runs.write_text_to_image(folder / "quickstart")
    runs.write_tokenizer(folder / "quickstart")
    (folder / "samples").mkdir()
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)


BOTH = ["runs/quickstart/text_to_image", "runs/quickstart/tokenizer"]


@pytest.mark.parametrize("name", ["runs", "runs/quickstart", "runs/quickstart/"])
def test_the_one_that_draws(name, capsys):
    assert runs_in(name) == BOTH
    opened = open_run(name, wanted="sampler")
    assert opened.model_dir == BOTH[0]
    assert capsys.readouterr().err == f"the run is {BOTH[0]}\n"


def test_a_run_is_itself(capsys):
    assert open_run(BOTH[1], wanted="sampler").model_dir == BOTH[1]  # which says what it is not
    assert capsys.readouterr().err == ""


def test_where_several_fit_they_are_named():
    said = "holds 2 runs that fit; name one of those inside: "
    both = rf"{BOTH[0]} \(TextToImage\), {BOTH[1]} \(Tokenizer\)"
    with pytest.raises(UserError, match=said + both):
        open_run("runs", wanted="codec")
    with pytest.raises(
        UserError, match=f"holds no run that fits; name one of those inside: {both}"
    ):
        open_run("runs", wanted="reranker")


def test_a_single_run_need_not_fit(tmp_path):
    shutil.copytree(BOTH[1], tmp_path / "only" / "tokenizer")
    opened = open_run(str(tmp_path / "only"), wanted="sampler")
    with pytest.raises(UserError, match="objective Tokenizer, which draws no pictures"):
        opened.sampler()


def test_where_there_is_none_the_closest_is_named(folder):
    require_run("runs/quickstart")
    for name, closest in (("runs/quikstart", "runs/quickstart"), (f"{BOTH[1]}s", BOTH[1])):
        with pytest.raises(UserError, match=f"is not a run directory .* did you mean {closest}\\?"):
            require_run(name)
    with pytest.raises(UserError, match="give the --model_dir of a `babeldraw train` run"):
        require_run("runs/samples")
    with pytest.raises(UserError, match="not a run directory"):
        require_run(str(pathlib.Path(folder, "nowhere", "else")))
