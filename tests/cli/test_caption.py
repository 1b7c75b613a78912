"""Contract: `babeldraw caption` prints a line a picture, and says what it skipped."""

import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support.runs import open_run
from babeldraw.data.picture_files.images import read_framed
from tests.cli import runs
from tests.models import tiny


@pytest.fixture(scope="module")
def coca(tmp_path_factory):
    return runs.write_coca(tmp_path_factory.mktemp("runs"))


def test_a_folder_and_a_file(coca, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(tiny.images(3, size=20)):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    assert main(["caption", "--checkpoint", coca, "--images", str(folder), "--batch_size=2"]) == 0
    said = capsys.readouterr()
    lines = [line.split("\t") for line in said.out.splitlines() if "\t" in line]
    assert [name for name, _ in lines] == ["0.png", "1.png", "2.png"]
    assert said.err.endswith("skipped 1 file: 1 of other kinds\n")

    opened = open_run(coca)
    picture = read_framed(folder / "1.png", (16, 20))
    (tokens,) = opened.reranker().caption(picture[None])
    caption = opened.vocabulary.decode([int(token) for token in tokens if token])
    assert lines[1][1] == caption
    assert main(["caption", "--checkpoint", coca, "--images", str(folder / "1.png")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1.png\t{caption}"


def test_mistakes_are_one_sentence(coca, tmp_path, capsys):
    for images, says in (
        (tmp_path / "nowhere", "is not a folder"),
        (tmp_path, "holds no picture that can be read"),
        (__file__, "cannot be read (not an image)"),
    ):
        assert main(["caption", "--checkpoint", coca, "--images", str(images)]) == 2
        assert says in capsys.readouterr().err
