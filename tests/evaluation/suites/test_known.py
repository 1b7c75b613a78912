"""Contract: published sets are read from their own files, the same part of them everywhere."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation.suites import published
from babeldraw.evaluation.suites.known import open_suite


def write_pictures(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(folder / name)


def coco(folder, numbers):
    names = {number: f"COCO_val2014_{number:012d}.jpg" for number in numbers}
    write_pictures(folder / "val2014", names.values())
    content = {
        "images": [{"id": number, "file_name": name} for number, name in names.items()],
        "annotations": [
            {"image_id": number, "id": 10 * number + k, "caption": f"picture {number},  said {k} "}
            for number in numbers
            for k in range(3)
        ],
    }
    (folder / "captions.json").write_text(json.dumps(content))
    return f"coco-30k:{folder}/captions.json,{folder}/val2014"


def test_coco_30k_has_one_caption_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "COCO_CAPTIONS", 7)
    suite = open_suite(coco(tmp_path / "a", range(1, 13)), 32)
    assert len(suite) == 7 and "7 of the 12 pictures" in suite.notes[0]
    for each in suite.entries:
        number = int(each.id.rpartition("_")[2])
        assert each.prompt.startswith(f"picture {number}, said ")
        assert each.reference.endswith(f"val2014/{each.id}.jpg")
    # Neither the order of the file nor its folder says which.
    again = open_suite(coco(tmp_path / "b", range(12, 0, -1)), 32)
    assert again.digest == suite.digest
    with pytest.raises(UserError, match="has captions of 5 pictures, and MS-COCO 30K needs 7"):
        open_suite(coco(tmp_path / "c", range(5)), 32)


def test_a_missing_picture_would_be_another_set(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "COCO_CAPTIONS", 2)
    name = coco(tmp_path, range(3))
    (tmp_path / "val2014" / "COCO_val2014_000000000001.jpg").unlink()
    with pytest.raises(UserError, match=r"cannot be read whole \(1 missing picture such as"):
        open_suite(name, 32)


def test_coco_5k_is_karpathys_test_split(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "KARPATHY_TEST", 2)
    images = [
        {
            "split": "test" if number < 2 else "train",
            "filename": f"{number}.jpg",
            "filepath": "val2014",
            "sentences": [{"raw": f"said {number}."}, {"raw": " "}],
        }
        for number in range(3)
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}))
    with pytest.raises(
        UserError, match=r"val2014/0.jpg of dataset_coco.json is not there \(2 such"
    ):
        open_suite(f"coco-5k:{tmp_path}/dataset_coco.json", 32)
    write_pictures(tmp_path / "val2014", ["0.jpg", "1.jpg"])
    suite = open_suite(f"coco-5k:{tmp_path}/dataset_coco.json", 32)
    assert [(each.id, each.prompt) for each in suite.entries] == [
        ("0", "said 0."),
        ("1", "said 1."),
    ]
    monkeypatch.setattr(published, "KARPATHY_TEST", 5000)
    with pytest.raises(UserError, match="has 2 pictures of a test split"):
        open_suite(f"coco-5k:{tmp_path}/dataset_coco.json", 32)


def test_localized_narratives(tmp_path):
    write_pictures(tmp_path, ["000000000009.jpg", "abc.jpg"])
    lines = [{"image_id": "9", "caption": "In this picture"}, {"image_id": "abc", "caption": "A b"}]
    (tmp_path / "n.jsonl").write_text("\n".join(map(json.dumps, lines)))
    suite = open_suite(f"narratives:{tmp_path}/n.jsonl", 32)
    assert [each.id for each in suite.entries] == ["000000000009", "abc"]
    assert suite.entries[0].prompt == "In this picture"


PARTI = """Prompt\tCategory\tChallenge\tNote
bond\tAbstract\tBasic\tBiology-inspired concepts
A "red" cube\tArtifacts\tProperties & Positioning\t
bond\tAbstract\tBasic\t
"""


def test_parti_prompts_as_published(tmp_path):
    (tmp_path / "PartiPrompts.tsv").write_text(PARTI)
    suite = open_suite(f"parti:{tmp_path}/PartiPrompts.tsv", 32)
    assert sorted((each.prompt, each.category, each.challenge) for each in suite.entries) == [
        ('A "red" cube', "Artifacts", "Properties & Positioning"),
        ("bond", "Abstract", "Basic"),
        ("bond", "Abstract", "Basic"),
    ]
    (tmp_path / "other.tsv").write_text("text\tkind\na\tb\n")
    with pytest.raises(UserError, match="does not begin with the columns Prompt, Category and"):
        open_suite(f"parti:{tmp_path}/other.tsv", 32)


def test_classes_come_in_order_and_equally_often():
    suite = open_suite("classes:7", 32, ("cat", "dog", "dog"))
    assert [(e.id, e.prompt, e.category, e.samples) for e in suite.entries] == [
        ("0", "0", "cat", 3),
        ("1", "1", "dog", 2),
        ("2", "2", "dog", 2),
    ]
    few = open_suite("classes:2", 32, ("cat", "dog", "cow"))
    assert len(few) == 2 and few.notes == ("1 of 3 classes are not drawn.",)
    with pytest.raises(UserError, match="draws classes, and this run has none"):
        open_suite("classes:7", 32)


def test_the_emoji_say_what_they_show():
    suite = open_suite("emoji", 32)
    assert len(suite) == 72
    for each in suite.entries:
        assert each.reference.shape == (32, 32, 3)
        assert each.checks["concept"] in each.prompt and each.checks["gender"] in each.prompt
        assert each.prompt.endswith(f"{each.checks['style']} style")
    assert {each.checks["tone"] for each in suite.entries} > {"yellow", "dark"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("emojy", "there is no suite 'emojy'; give one of emoji, "),
        ("parti", "there is no suite 'parti'"),
        ("coco-30k:/nowhere.json", "there is no file '/nowhere.json'"),
        ("classes:many", "says no number of pictures"),
    ],
)
def test_names_that_mean_nothing(name, says):
    with pytest.raises(UserError, match=says):
        open_suite(name, 32, ("a", "b"))
