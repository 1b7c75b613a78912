"""Building the set: joining and drawing; and the shipped set, byte for byte.

The packages are looked for in BABELDRAW_NPM_DIR and where `babeldraw data build` installs them.
"""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from babeldraw.data.sets import emoji_build, emoji_sheets
from babeldraw.errors import UserError
from babeldraw.files import cache_dir

RED = '<path fill="#f00" d="M0 0h8v4H0z"/>'


def packages():
    given = os.environ.get("BABELDRAW_NPM_DIR")
    modules = pathlib.Path(given) if given else cache_dir() / "npm" / "node_modules"
    if not (modules / "emojibase-data").exists():
        pytest.skip("the npm packages are not here: set BABELDRAW_NPM_DIR to their node_modules")
    return modules


def test_render_centres_on_white_and_averages():
    image = emoji_build.render(emoji_build.Icon(RED, 8, 4), 8)  # twice as wide as high
    assert image.dtype == np.uint8 and image.shape == (8, 8, 3)
    assert (image[2:6] == [255, 0, 0]).all()
    assert (image[:2] == 255).all() and (image[6:] == 255).all()
    half = emoji_build.render(emoji_build.Icon('<path fill="#000" d="M0 0h8v1H0z"/>', 8, 8), 4)
    assert (half[0] == 128).all() and (half[1:] == 255).all()  # half a pixel is covered


def test_icons_follow_plain_aliases_only(tmp_path):
    folder = tmp_path / "@iconify-json" / "noto"
    folder.mkdir(parents=True)
    icons = {"red": {"body": RED, "height": 4}, "wide": {"body": RED, "width": 9}}
    aliases = {"rouge": {"parent": "red"}, "turned": {"parent": "red", "rotate": 1}}
    data = {"icons": icons, "aliases": aliases, "width": 8, "height": 8}
    (folder / "icons.json").write_text(json.dumps(data))
    names = {"1F534": "red", "2764-fe0f": "rouge", "1f44d": "turned", "1f44e": "wide"}
    (folder / "chars.json").write_text(json.dumps(names))
    assert emoji_build.read_icons(tmp_path, "noto") == {
        "1f534": emoji_build.Icon(RED, 8, 4),
        "2764": emoji_build.Icon(RED, 8, 4),
        "1f44e": emoji_build.Icon(RED, 9, 8),
    }


@pytest.mark.parametrize("size", [0, 7, 257])
def test_size_out_of_range(tmp_path, size):
    with pytest.raises(UserError, match="between 8 and 256"):
        emoji_build.build(tmp_path, size, tmp_path)


def test_missing_npm(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UserError, match="npm"):
        emoji_build.install_packages(tmp_path)


def test_wrong_package(tmp_path):
    path = tmp_path / "@iconify-json" / "noto" / "icons.json"
    with pytest.raises(UserError, match="install @iconify-json/noto"):
        emoji_build.check_packages(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(UserError, match="is not from @iconify-json/noto"):
        emoji_build.check_packages(tmp_path)


@pytest.mark.parametrize(
    "name", ["emojibase-data/meta/groups.json", "@iconify-json/noto/chars.json"]
)
def test_files_of_a_package_that_are_missing_or_damaged(tmp_path, name):
    for other in ("emojibase-data/meta/groups.json", "@iconify-json/noto/icons.json"):
        (tmp_path / other).parent.mkdir(parents=True)
        (tmp_path / other).write_text("{}")
    path = tmp_path / name
    path.unlink(missing_ok=True)

    def read():
        if name.startswith("emojibase-data"):
            return emoji_build.read_labels(tmp_path)
        return emoji_build.read_icons(tmp_path, "noto")

    with pytest.raises(UserError, match=f"{path.name} is missing: install .*@.* with npm"):
        read()
    path.write_text("{")
    with pytest.raises(UserError, match=f"{path.name} is damaged: install .*@.* with npm again"):
        read()


def test_a_sample_of_the_shipped_cells_is_drawn_again():
    cells, icons = emoji_build.load_sources(packages())
    shipped = emoji_sheets.read_cells(emoji_sheets.SHIPPED)
    images = emoji_sheets.read_images(emoji_sheets.SHIPPED, 32, shipped)
    for index in range(0, len(cells), 97):
        drawn = emoji_build.render(icons[cells[index].style][cells[index].concept], 32)
        np.testing.assert_array_equal(drawn, images[index], err_msg=cells[index].caption)
    plain = [(cell.style, cell.concept, cell.caption, cell.split) for cell in shipped]
    assert [(cell.style, cell.concept, cell.caption, cell.split) for cell in cells] == plain


@pytest.mark.slow
def test_the_shipped_set_is_built_again_byte_for_byte(tmp_path):
    emoji_build.build(tmp_path, 32, packages())
    made = {"vocabulary.model", "words_vocabulary.model"}
    names = {path.name for path in emoji_sheets.SHIPPED.iterdir()} - made
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (emoji_sheets.SHIPPED / name).read_bytes(), name
