"""Tasks over one's own pictures: every layout, its faults, its splits, its order."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from babeldraw.data import tasks, vocabulary
from babeldraw.data.sources import pictures
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
from tests.data import made_pictures

LENGTHS = {"text": 12, "image": 16}


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))


def make(kind, folder, count=60, **size):
    return made_pictures.write(kind, folder / "set", *made_pictures.good_set(count, **size))


def examples(name, split="train"):
    return pipeline.Dataset(name, LENGTHS, split, seed=3).examples()


def from_source(name, split="train"):
    """As `examples`, of the source alone, which is quicker."""
    dataset = tasks.find_task(name, split).source.get_dataset(split, shuffle=False)
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("kind", made_pictures.KINDS)
def test_every_layout_gives_every_picture_with_its_captions(kind, tmp_path):
    name = make(kind, tmp_path)
    first_only = kind in ("webdataset", "parquet", "tfrecord")
    seen = []
    for split in ("train", "validation"):
        for example in from_source(name, split):
            (index,) = made_pictures.colours([example["image"]])
            captions = [text.decode() for text in example["captions"]["text"]]
            assert captions == made_pictures.captions_of(index)[: 1 if first_only else None]
            assert example["image"].shape == (30, 40, 3)
            assert example["augment"] == (split == "train")
            seen.append(index)
    assert sorted(seen) == list(range(60))


# What is wrong, and how it is counted. Of some faults, some layouts have no equal.
BOMB = made_pictures.bomb()
FAULTS = {
    "empty.png": (b"", ["good words"], "empty"),
    "text.png": (b"this is no picture at all", ["good words"], "not an image"),
    "cut.png": (made_pictures.picture(1)[:60], ["good words"], "damaged"),
    "bomb.png": (BOMB, ["good words"], "too large"),
    "silent.png": (made_pictures.picture(1), ["  "], "empty caption"),
    "latin.png": (made_pictures.picture(1), [b"caf\xe9"], "invalid UTF-8"),
    "gone.png": (None, ["good words"], "missing picture"),
    "../outside.png": (None, ["good words"], "path outside the folder"),
}


@pytest.mark.parametrize("kind", made_pictures.KINDS)
def test_two_percent_broken_lose_nothing_good(kind, tmp_path, caplog):
    good, captions = made_pictures.good_set(392)
    captions["p000.png"] = ["word " * 10_000]
    (tmp_path / "outside.png").write_bytes(made_pictures.picture(5))
    expected = {}
    for name, (data, texts, fault) in FAULTS.items():
        absent = {"narratives": {"../outside.png"}, "sidecar": {"../outside.png", "gone.png"}}
        absent |= {layout: {"../outside.png"} for layout in made_pictures.NO_FILES}
        if name in absent.get(kind, ()):
            continue
        expected[fault] = 1
        captions[name] = texts
        if data is not None:
            good[name] = data
    name = made_pictures.write(kind, tmp_path / "set", good, captions)
    found = [*from_source(name), *from_source(name, "validation")]
    assert sorted(made_pictures.colours([example["image"][:3, :3] for example in found])) == list(
        range(392)
    )
    source = tasks.find_task(name, "train").source
    assert {kind: len(names) for kind, names in source.skipped.kinds.items()} == expected
    assert any("latin" in line for line in pictures.named(source.skipped))
    assert "left out, empty caption:" in caplog.text


def test_a_caption_of_ten_thousand_words_is_cut(tmp_path):
    name = made_pictures.write(
        "folder",
        tmp_path,
        {"a.png": made_pictures.picture(0), "b.png": made_pictures.picture(1)},
        {"a.png": ["word " * 10_000], "b.png": ["word " * 10_000]},
    )
    tokens = examples(name)["text_tokens"]
    assert tokens.shape == (1, 12) and tokens[0, -1] == vocabulary.EOS_ID and tokens.all()


def batches(name, steps, **settings):
    dataset = pipeline.Dataset(name, LENGTHS, "train", batch_size=8, seed=5)
    return list(itertools.islice(dataset.batches(**settings), steps))


def test_a_resumed_run_is_bitwise_the_unbroken_one(tmp_path):
    good, captions = made_pictures.good_set(40, width=64)
    good["q.png"], captions["q.png"] = b"broken", ["words"]
    name = made_pictures.write("folder", tmp_path / "set", good, captions)
    whole = batches(name, 12)  # more than two epochs
    for first, second in zip(whole[7:], batches(name, 5, start_step=7), strict=True):
        np.testing.assert_array_equal(first["image"], second["image"])
        np.testing.assert_array_equal(first["text_tokens"], second["text_tokens"])


def test_training_draws_captions_and_crops_anew_in_each_epoch(tmp_path):
    good, _ = made_pictures.good_set(8)
    ramp = np.zeros((64, 128, 3), np.uint8)
    ramp[..., 1] = np.arange(128)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    name = made_pictures.write(
        "folder",
        tmp_path / "set",
        dict.fromkeys(good, file.getvalue()),
        {key: ["a", "b"] for key in good},
    )
    drawn = batches(name, 8)
    assert len({row.tobytes() for batch in drawn for row in batch["image"]}) > 16
    assert len({row.tobytes() for batch in drawn for row in batch["text_tokens"]}) == 2
    validation = examples(name, "validation")
    assert validation["caption"].tolist() == ["a"]
    centre = validation["image"][0, 8, 7:9, 1].astype(float).mean()
    assert abs(centre - 63.5) <= 0.5  # green rises from left to right


def test_order_is_another_in_each_epoch_and_for_each_seed(tmp_path):
    name = make("folder", tmp_path, 50)  # 40 to train on
    count = tasks.find_task(name, "train").num_input_examples("train")
    assert count == 40
    whole = made_pictures.colours(np.concatenate([b["image"] for b in batches(name, 10)]))
    epochs = [whole[:40], whole[40:]]
    assert sorted(epochs[0]) == sorted(epochs[1]) and epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])


def test_two_hosts_are_disjoint_and_complete(tmp_path):
    name = make("webdataset", tmp_path, 60)
    dataset = pipeline.Dataset(name, LENGTHS, "train", batch_size=4)
    count = tasks.find_task(name, "train").num_input_examples("train")
    shares = []
    for host in range(2):
        read = dataset.batches(process_index=host, process_count=2, num_epochs=1)
        shares.append(made_pictures.colours(np.concatenate([batch["image"] for batch in read])))
    assert count == 48 and len({*shares[0], *shares[1]}) == len(shares[0] + shares[1]) == 48


def test_hosts_stop_together_whatever_is_broken(tmp_path):
    good, captions = made_pictures.good_set(33)
    for name in sorted(good)[::2]:
        good[name] = b"broken"  # nearly all are of one host
    task = made_pictures.write("folder", tmp_path / "set", good, captions)
    dataset = pipeline.Dataset(task, LENGTHS, "train", batch_size=4)
    lengths = [
        len(list(dataset.batches(process_index=host, process_count=2, num_epochs=1)))
        for host in range(2)
    ]
    assert lengths[0] == lengths[1] > 0


def test_nothing_readable_ends_with_a_sentence(tmp_path):
    good, captions = made_pictures.good_set(9)
    task = made_pictures.write("folder", tmp_path, dict.fromkeys(good, b"broken"), captions)
    dataset = pipeline.Dataset(task, LENGTHS, "train", batch_size=2)
    with pytest.raises(UserError, match=f"babeldraw data inspect {task}"):
        next(dataset.batches())
    with pytest.raises(UserError, match=f"babeldraw data inspect {task}"):
        dataset.examples()
    assert list(dataset.batches(num_epochs=1)) == []


def test_split_is_by_name_and_stays_when_the_set_grows():
    place = pictures.Place("x")
    some = [pictures.Picture(f"{i}.png", ("a",), place) for i in range(5000)]
    small, large = pictures.split_pictures(some[:4000]), pictures.split_pictures(some)
    assert {p.name for p in small["validation"]} <= {p.name for p in large["validation"]}
    assert 0.015 < len(large["validation"]) / 5000 < 0.025
    for count, validation in ((1, 0), (2, 1), (20, 4), (500, 32)):
        assert len(pictures.split_pictures(some[:count])["validation"]) == validation


@pytest.mark.slow
def test_mixture_has_its_rates_and_reads_all_in_an_epoch(tmp_path):
    a = make("folder", tmp_path / "a+b", 60)
    good, captions = made_pictures.good_set(300)
    b = made_pictures.write(
        "webdataset",
        tmp_path / "b",
        {k: v for k, v in good.items() if k >= "p100"},
        {k: v for k, v in captions.items() if k >= "p100"},
    )
    name = f"{a}:0.75+{b}:0.25"
    drawn = made_pictures.colours(np.concatenate([x["image"] for x in batches(name, 60)]))
    share = np.mean([index < 100 for index in drawn])
    assert abs(share - 0.75) < 0.06  # 3 deviations of 480 draws
    epoch = pipeline.Dataset(name, LENGTHS, "train", batch_size=1, shuffle=False)
    seen = made_pictures.colours(np.concatenate([x["image"] for x in epoch.batches(num_epochs=1)]))
    assert (
        len(seen)
        == len(set(seen))
        == sum(tasks.find_task(part, "train").num_input_examples("train") for part in (a, b))
    )
    assert set(tasks.task_captions(name)) >= set(tasks.task_captions(b))


@pytest.mark.slow
def test_mixture_with_a_registered_task(tmp_path):
    name = f"{make('folder', tmp_path)}:0.5+emoji_quickstart_32:0.5"
    dataset = pipeline.Dataset(name, {"text": 12, "image": 32}, "train", batch_size=8)
    assert next(dataset.batches())["image"].shape == (8, 32, 32, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:", "There is no ''"),
        ("folder:/nowhere/at/all", "check the path"),
        ("coco:/nowhere.json", "check the path"),
        ("foldr:/x", "for pictures of your own write folder:PATH"),
        ("emoji_32:0.5+emoji_32:0.5", "each task once"),
        ("emoji_32:0+emoji_64:1", "a rate above 0|at a rate"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(UserError, match=message):
        tasks.find_task(name, "train")


def test_wrong_places(tmp_path):
    (tmp_path / "file").write_text("x")
    for name, message in [
        (f"folder:{tmp_path / 'file'}", "is not a folder"),
        (f"coco:{tmp_path}", "is not a file"),
        (f"coco:{tmp_path / 'file'}", "no JSON"),
        (f"webdataset:{tmp_path}", "has no .tar file"),
        (f"parquet:{tmp_path}", "has no .parquet file"),
        (f"folder:{tmp_path}", "has no picture with a caption"),
    ]:
        with pytest.raises(UserError, match=message):
            pipeline.Dataset(name, LENGTHS).batches()


def test_vocabulary_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY")
    name = make("folder", tmp_path)
    with pytest.raises(UserError, match=f"babeldraw vocab --task {name} .*vocabulary.model"):
        pipeline.Dataset(name, LENGTHS).batches()
    with pytest.raises(UserError, match="need one vocabulary"):
        pipeline.Dataset(f"{name}:1+emoji_quickstart_32:1", LENGTHS).batches()
    vocabulary.train_vocabulary(
        tasks.task_captions(name), tmp_path / "set" / "vocabulary.model", 300
    )
    assert pipeline.Dataset(name, LENGTHS).vocabulary.vocab_size == 300
    assert next(pipeline.Dataset(name, LENGTHS).batches())["text_tokens"].max() < 300


def test_pictures_elsewhere(tmp_path):
    good, captions = made_pictures.good_set(4)
    made_pictures.write("coco", tmp_path / "a, b", good, captions)
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "c.json"
    (tmp_path / "a, b" / "captions.json").rename(file)
    source = tasks.find_task(f"coco:{file},{tmp_path / 'a, b'}", "train").source
    assert source.num_input_examples("train") == 3
