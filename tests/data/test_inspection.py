"""`babeldraw data inspect`: what it prints and draws."""

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli import main
from babeldraw.data import inspection
from babeldraw.errors import UserError
from tests.data import made_pictures


def test_histogram():
    lines = inspection.histogram([3, 5, 5, 9, 40, 41], (4, 8, 16, 32, 64), width=4)
    assert [line.split() for line in lines] == [
        ["0-7", "####", "3"],
        ["8-15", "##", "1"],
        ["16-31", "0"],
        ["32-63", "###", "2"],
    ]
    assert inspection.histogram([], (1, 2)) == []
    assert inspection.histogram([7], (4, 5))[0].split()[0] == "5+"


def test_inspect(tmp_path, capsys):
    good, captions = made_pictures.good_set(20)
    good["broken.png"], captions["broken.png"] = b"x", ["words"]
    captions["gone.png"] = ["words"]
    good["a/copy.png"], captions["a/copy.png"] = good["p003.png"], ["x" * 300]
    good["p004.png"] = made_pictures.picture(4, 300, 200)
    name = made_pictures.write("folder", tmp_path / "set", good, captions)
    sheet = tmp_path / "new" / "sheet.png"
    assert main.main(["data", "inspect", name, "--output", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert f"{name}, split train: 17 pictures, " in out  # 4 of 22 validate, one is broken
    assert "1 missing picture: gone.png" in out and "1 not an image: broken.png" in out
    assert "0-63" in out and "128-255" in out
    assert "near-duplicates:" in out and "a/copy.png" in out
    assert "wrote 17 pictures with captions" in out
    with Image.open(sheet) as image:
        assert image.size[0] == 6 * (inspection.TILE + 8)
        pixels = np.asarray(image)
    assert (pixels[:, :, 2] == 99).any() and (pixels == 0).all(-1).any()  # pictures and letters


def test_inspect_a_registered_task_and_a_limit(tmp_path, capsys):
    arguments = ["data", "inspect", "emoji_quickstart_32", "--split", "heldout_people"]
    output = ["--limit", "5", "--output", str(tmp_path / "s.png")]
    assert main.main([*arguments, *output]) == 0
    out = capsys.readouterr().out
    assert "5 pictures, 5 captions" in out and "left out:\n  nothing" in out
    assert main.main([*arguments, "--limit", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err


def test_nothing_to_show():
    with pytest.raises(UserError, match="no readable picture"):
        inspection.contact_sheet([])
