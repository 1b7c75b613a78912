"""Contract: what Babeldraw drew in a subfolder of somebody's pictures is not read as pictures."""

import shutil

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data.picture_files.images import ImageFolder
from babeldraw.data.sources.folders import read_folder
from babeldraw.data.sources.pictures import Skipped
from babeldraw.files import OUTPUT, OUTPUT_MARK, mark_output, path


@pytest.fixture
def folder(tmp_path):
    """A captioned picture, and drawn ones in `runs/samples`."""
    mark_output(path(tmp_path / "runs" / "samples"))
    for name in ("a.png", "runs/samples/a-cook-00.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("a cook")
    return tmp_path


def test_drawn_pictures_are_left_out_and_counted(folder):
    skipped = Skipped()
    assert [name for name, _, _ in read_folder(folder, skipped)] == ["a.png"]
    assert list(skipped.kinds[OUTPUT]) == ["runs/samples"]
    pictures = ImageFolder(folder, 8)
    assert [name for name, _ in pictures] == ["a.png"]
    assert pictures.skipped[OUTPUT] == ["runs/samples"]


def test_a_folder_of_captions_for_all_reads_them_no_more(folder):
    (folder / "captions.csv").write_text("file_name,caption\na.png,a cook\n")
    skipped = Skipped()
    assert [entry[:2] for entry in read_folder(folder, skipped)] == [("a.png", "a cook")]
    assert list(skipped.kinds) == [OUTPUT]


def test_asked_for_by_name_they_are_read(folder):
    assert [name for name, _ in ImageFolder(folder / "runs" / "samples", 8)] == ["a-cook-00.png"]


def test_a_folder_with_something_in_it_is_nobodys_output(folder):
    mark_output(path(folder))
    assert not (folder / OUTPUT_MARK).exists()
    shutil.rmtree(folder / "runs")
    (folder / "runs").mkdir()
    mark_output(path(folder / "runs"))  # made by a check of its rights, say
    assert (folder / "runs" / OUTPUT_MARK).exists()
    mark_output(path(folder), ours=True)  # a run directory
    assert (folder / OUTPUT_MARK).exists()


@pytest.mark.parametrize(
    "command",
    [
        "quickstart --data folder:{0} --output {0}/",
        "train --gin_file=gin/runs/quickstart_tokenizer.gin --model_dir={0} "
        "--gin.MIXTURE_OR_TASK_NAME=folder:{0}:0.5+emoji_quickstart_32:0.5",
        "data pack folder:{0} --output {0}",
        "tokenize-dataset --task folder:{0} --output {0} --checkpoint runs/none",
    ],
)
def test_nothing_is_written_among_the_pictures(command, folder, capsys):
    before = sorted(folder.rglob("*"))
    assert main(command.format(folder).split()) == 2
    assert "is the folder of the pictures themselves" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before
