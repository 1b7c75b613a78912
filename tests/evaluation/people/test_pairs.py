"""Contract: pairs are of one prompt, blind, drawn by the seed; what is left out is counted."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation.people.page import page
from babeldraw.evaluation.people.pairs import pair_up
from tests.evaluation.people import folders


@pytest.fixture
def two(tmp_path):
    return folders.write(tmp_path / "one", 1), folders.write(tmp_path / "two", 2)


def test_of_one_prompt_and_half_of_them_swapped(two):
    found = pair_up(two, 50, seed=0)
    assert sorted(pair.prompt for pair in found.pairs) == sorted(folders.PROMPTS)
    assert sum(pair.swapped for pair in found.pairs) == 2
    for pair in found.pairs:
        number = folders.PROMPTS.index(pair.prompt)
        for folder, seed, picture in zip(two, (1, 2), pair.pictures, strict=True):
            np.testing.assert_array_equal(
                picture, np.asarray(Image.open(f"{folder}/{seed}-{number}.png"))
            )


def test_the_same_by_seed_and_another_by_another(two):
    pages = [page(pair_up(two, 3, seed)) for seed in (0, 0, 1)]
    assert pages[0] == pages[1] != pages[2]
    assert len(pair_up(two, 3, 0).pairs) == 3


def test_the_page_does_not_say_whose_picture_it_is(two):
    found = pair_up(two, 50, seed=0)
    said = page(found)
    assert "one" not in json.dumps([found.digest]) and not any(name in said for name in two)
    assert "swapped" not in said and "<script>alert" not in said
    assert json.loads(json.dumps(found.key()))["first_is_right"] == [p.swapped for p in found.pairs]


def test_pictures_that_are_the_same_are_left_out(two, tmp_path):
    more = folders.write(tmp_path / "more", 3, [*folders.PROMPTS, "a lamp"])
    Image.open(f"{two[0]}/1-0.png").save(
        f"{more}/3-0.png", pnginfo=folders.said(folders.PROMPTS[0])
    )
    Image.new("RGB", (16, 16)).save(f"{more}/silent.png")
    found = pair_up((two[0], more), 50, 0)
    assert len(found.pairs) == 3
    assert found.notes == [
        "1 pairs are left out, whose pictures are the same.",
        f"1 pictures of {more} say no prompt.",
        f"1 pictures of {more} have no partner.",
    ]


def test_a_text_file_beside_a_picture_says_its_prompt(two, tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    Image.new("RGB", (16, 16)).save(real / "a.png")
    (real / "a.txt").write_text("a moon\n")
    assert [pair.prompt for pair in pair_up((two[0], str(real)), 50, 0).pairs] == ["a moon"]


def test_what_cannot_be_paired_is_refused(two, tmp_path):
    for folder, said in (
        (tmp_path / "none", "is not a folder"),
        (folders.write(tmp_path / "others", 3, ["a lamp"]), "have no prompt in common"),
        (two[0], "have the same pictures"),
    ):
        with pytest.raises(UserError, match=said):
            pair_up((two[0], str(folder)), 50, 0)
    (tmp_path / "silent").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "silent" / "a.png")
    with pytest.raises(UserError, match="holds no picture that says its prompt"):
        pair_up((two[0], str(tmp_path / "silent")), 50, 0)
    (tmp_path / "silent" / "b.png").write_text("no picture")
    with pytest.raises(UserError, match=r"b\.png cannot be read"):
        pair_up((two[0], str(tmp_path / "silent")), 50, 0)
