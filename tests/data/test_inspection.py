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
    # By hand: 20 good ones and a copy, which are read; a broken one; p004 is small no more.
    assert "21 pictures were read of 22 (18 train, 4 validation), 21 with a caption; 31 cap" in out
    assert "1 missing picture: gone.png" in out and "1 not an image: broken.png" in out
    assert "0-63" in out and "128-255" in out
    assert "near-duplicates:" in out and "a/copy.png" in out
    assert "wrote 21 pictures as they are seen" in out
    with Image.open(sheet) as image:
        assert image.size[0] == 6 * (inspection.TILE + 8)
        pixels = np.asarray(image)
    assert (pixels[:, :, 2] == 99).any() and (pixels == 0).all(-1).any()  # pictures and letters


def test_inspect_a_registered_task_and_a_limit(tmp_path, capsys):
    arguments = ["data", "inspect", "emoji_quickstart_32", "--split", "heldout_people"]
    output = ["--limit", "5", "--output", str(tmp_path / "s.png")]
    assert main.main([*arguments, *output]) == 0
    out = capsys.readouterr().out
    assert "5 pictures were read of 72 (72 heldout_people), 5 with a caption; 5 captions" in out
    assert "left out:\n  nothing" in out and "recommended: --gin.FIT=crop" in out
    assert main.main([*arguments, "--limit", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err


def heads(folder, count=20):
    """Tall things with a head that a crop cuts off, on a ground that is transparent."""
    folder.mkdir()
    for index in range(count):
        image = np.zeros((90, 30, 4), np.uint8)
        image[3:87, 10:20] = (200, 30 + index, 30, 255)
        Image.fromarray(image, "RGBA").save(folder / f"{index:02d}.png")
        (folder / f"{index:02d}.txt").write_text(f"thing {index}")
    Image.fromarray(image[:, 5:25], "RGBA").save(folder / "wide.png")
    Image.new("RGBA", (9, 9)).save(folder / "empty.png")
    for name in ("wide", "empty"):
        (folder / name).with_suffix(".txt").write_text("another")
    return f"folder:{folder}"


def test_what_a_crop_cuts_is_said_and_shown(tmp_path, capsys):
    name = heads(tmp_path / "set")
    look = ["data", "inspect", name, "--output", str(tmp_path / "s.png")]
    assert main.main([*look, "--background=#8090a0"]) == 0
    out = capsys.readouterr().out
    assert "a centre crop cuts more than 10% of what is shown of 21 pictures of 22:" in out
    assert "  76% of wide.png\n" in out and "  64% of 00.png\n" in out
    assert "1 of one colour (on this BACKGROUND): empty.png\n" in out
    assert "recommended: --gin.FIT=pad --gin.BACKGROUND=#8090a0, as a centre crop would cut" in out
    assert "--fit=pad shows that" in out
    cropped = np.asarray(Image.open(tmp_path / "s.png"))[4 : 4 + inspection.TILE, 4:164]
    assert (cropped[0, 80] == (200, 30, 30)).all() and (cropped[0, 2] == (128, 144, 160)).all()
    assert main.main([*look, "--background=#8090a0", "--fit=pad", "--size=18x9"]) == 0
    assert "shows that" not in capsys.readouterr().out
    padded = np.asarray(Image.open(tmp_path / "s.png"))[4 : 4 + inspection.TILE, 4:164]
    assert (padded[:, 41:48] == (128, 144, 160)).all()  # all is there, and the ground beside it
    assert padded[10:17, 80].std(0).max() == 0 and padded[10, 80, 0] > 170  # a pixel of 18 x 9
    assert main.main([*look, "--size=big"]) == 2
    assert "'big' is no size; give pixels, as 64 or 48x64" in capsys.readouterr().err


def test_a_set_without_captions(tmp_path, capsys):
    good, _ = made_pictures.good_set(10)
    name = made_pictures.write("sidecar", tmp_path / "set", good, {})
    assert main.main(["data", "inspect", name, "--output", str(tmp_path / "s.png")]) == 0
    assert "10 pictures were read of 10 (8 train, 2 validation), 0 with" in capsys.readouterr().out


def test_nothing_to_show():
    with pytest.raises(UserError, match="no readable picture"):
        inspection.contact_sheet([])
