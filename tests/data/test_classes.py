"""Contract: labelled pictures of any source come with the ids of their classes, and no text."""

import dataclasses
import io
import itertools
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from babeldraw.cli.main import main
from babeldraw.data import classes, tasks, vocabulary
from babeldraw.data.sources.indexed import NotIndexed
from babeldraw.data.sources.tfds_source import TfdsPictures
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
from tests.data import made_pictures

LENGTHS = {"image": 16}
ANIMALS = ("cat", "dog", "owl")
OWL_FIRST = ("owl", "cat", "dog")


@pytest.fixture(autouse=True)
def no_vocabulary(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY", raising=False)
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))


def write_folder(folder, count=40, names=ANIMALS, nested=""):
    """Picture i, whose colour tells it, is of class i modulo their number."""
    for index in range(count):
        home = folder / names[index % len(names)] / nested
        home.mkdir(parents=True, exist_ok=True)
        (home / f"p{index:03d}.png").write_bytes(made_pictures.picture(index))
    return f"class_folder:{folder}"


def dataset(name, feature="class", split="train", **settings):
    return pipeline.Dataset(
        name, LENGTHS, split, **{"batch_size": 8, "class_feature": feature, **settings}
    )


def assert_right(found, names):
    """Each picture has the class that its colour tells."""
    colours = made_pictures.colours(found["image"])
    assert [names[number] for number in found["class_id"]] == [names[i % 3] for i in colours]


@pytest.mark.parametrize("nested", ["", "deep/er"])
def test_a_folder_of_folders(tmp_path, nested):
    name = write_folder(tmp_path / "set", nested=nested)
    (tmp_path / "set" / "stray.png").write_bytes(made_pictures.picture(0))
    train, held_out = dataset(name), dataset(name, split="validation")
    assert train.class_names() == held_out.class_names() == ANIMALS
    found = [each.examples() for each in (train, held_out)]
    assert sum(len(each["image"]) for each in found) == 40 and len(found[1]["image"]) == 8
    for each in found:
        assert_right(each, ANIMALS)
    batch = next(train.batches())
    assert batch.keys() == {"image", "class_id"} and batch["class_id"].dtype == np.int32
    assert train.example_ids(0) == [ANIMALS[number] for number in batch["class_id"]]
    source = tasks.find_task(name, "train", captioned=False).source
    assert list(source.skipped.kinds["in no class folder"]) == ["stray.png"]


def test_folders_that_say_the_splits_are_no_classes(tmp_path):
    folder = tmp_path / "set"
    write_folder(folder / "train", 12)
    write_folder(folder / "test", 6, (*ANIMALS, "yak"))
    held_out = dataset(f"class_folder:{folder}", split="test", shuffle=False)
    assert held_out.class_names() == ANIMALS
    found = held_out.examples()
    assert made_pictures.colours(found["image"]) == [0, 4, 1, 5, 2]  # without the yak
    assert found["class_id"].tolist() == [0, 0, 1, 1, 2]
    source = tasks.find_task(f"class_folder:{folder}", "test", captioned=False).source
    assert list(source.skipped.kinds["class not in training"]) == ["test/yak/p003.png (yak)"]


def test_batches_are_the_same_for_any_number_of_hosts(tmp_path):
    name = write_folder(tmp_path / "set")
    (tmp_path / "set" / "cat" / "p003.png").write_bytes(b"broken")

    def batches(**where):
        return list(itertools.islice(dataset(name, seed=3).batches(start_step=2, **where), 6))

    whole = batches()
    hosts = [batches(process_index=host, process_count=2) for host in range(2)]
    for batch, first, second in zip(whole, *hosts, strict=True):
        assert_right(batch, ANIMALS)
        for key in batch:
            np.testing.assert_array_equal(batch[key], np.concatenate([first[key], second[key]]))


def write_tars(folder, labels):
    folder.mkdir(parents=True)
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for index in range(30):
            members = {"png": made_pictures.picture(index)}
            if index != 7:
                members["cls"] = labels(index).encode() + b"\n"
            for ending, data in members.items():
                member = tarfile.TarInfo(f"p{index:03d}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return f"webdataset:{folder}"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (lambda index: str(index % 3 + 9), ("9", "10", "11")),  # as numbers
        (lambda index: ANIMALS[index % 3], ANIMALS),
    ],
)
def test_webdataset_shards(tmp_path, labels, names):
    name = write_tars(tmp_path / "set", labels)
    found = [dataset(name, "cls", split).examples() for split in ("train", "validation")]
    assert dataset(name, "cls").class_names() == names
    assert sum(len(each["image"]) for each in found) == 29  # the 7th has no class
    for each in found:
        assert_right(each, names)


def test_a_pack_keeps_classes(tmp_path):
    name = write_folder(tmp_path / "set")
    for form in ("array_record", "tfrecord"):
        output = tmp_path / form
        assert main(["data", "pack", name, "--output", str(output), "--format", form]) == 0
        packed = dataset(f"{form}:{output}")
        assert packed.class_names() == ANIMALS
        assert_right(packed.examples(), ANIMALS)


class MadeLabels(tfds.core.GeneratorBasedBuilder):
    """As CIFAR-10 is: pictures with labels in an order of their own, and no texts."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(30, 40, 3)),
                    "label": tfds.features.ClassLabel(names=OWL_FIRST),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(40)}

    def _generate_examples(self, start):
        for index in range(start, start + 20):
            data = io.BytesIO(made_pictures.picture(index))
            yield index, {"id": f"{index}", "image": data, "label": index % 3}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made_labels")
    MadeLabels(data_dir=str(folder)).download_and_prepare()
    tfds.core.add_data_dir(folder)
    return "tfds:made_labels"


def test_a_tfds_set(labelled):
    for split in ("train", "test"):
        each = dataset(labelled, "label", split)
        assert each.class_names() == OWL_FIRST
        assert_right(each.examples(), OWL_FIRST)
        assert each.examples()["label"][0] in OWL_FIRST
    with pytest.raises(UserError, match=r"no one picture with captions .* CLASS_FEATURE='label'"):
        pipeline.Dataset(labelled, {"text": 8, "image": 16}).examples()


def test_seqio_itself_gives_the_classes_names(tmp_path, labelled, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    folder = write_folder(tmp_path / "set")
    for name, feature, names in ((folder, "class", ANIMALS), (labelled, "label", OWL_FIRST)):
        task = tasks.find_task(name, "train", captioned=False)
        lengths = {"text": 8, "image": 16}
        found = task.get_dataset(lengths, "train", shuffle=False).batch(8).as_numpy_iterator()
        batch = next(found)
        said = [label.decode() for label in batch[feature]]
        assert said == [names[i % 3] for i in made_pictures.colours(batch["image"])]
        assert batch["text"].shape[0] == 8 and (batch["caption"] == b"").all()


def test_a_set_that_is_read_from_its_beginning_has_none(labelled, monkeypatch):
    def not_indexed(*_):
        raise NotIndexed("riegeli")

    monkeypatch.setattr(TfdsPictures, "_records", not_indexed)
    for each in (dataset(labelled, "label"), dataset(labelled, "", captioned=False)):
        with pytest.raises(UserError, match="bring TFDS sets as TFRecord or ArrayRecord"):
            next(each.batches())


def test_imagenet_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match="run `tfds build imagenet2012` "):
        dataset("tfds:imagenet2012", "label").class_names()


def test_the_emoji():
    each = pipeline.Dataset("emoji_quickstart_32", {"image": 32}, class_feature="role")
    names = each.class_names()
    assert len(names) == 12 and "firefighter" in names
    found = each.examples()
    assert [names[number] for number in found["class_id"]] == found["role"].tolist()
    first, again = (next(dataclasses.replace(each, seed=1).batches(start_step=k)) for k in (3, 3))
    np.testing.assert_array_equal(first["class_id"], again["class_id"])
    tones = dataclasses.replace(each, class_feature="tone")
    assert tones.class_names()[:3] == ("yellow", "light", "medium-light")
    people = pipeline.Dataset("emoji_32", {"image": 32}, class_feature="gender")
    assert people.class_names() == ("person", "man", "woman")
    assert len(people.examples()["image"]) == 3510  # of 8,198: the others are no people


def test_mixtures_have_the_classes_of_all(tmp_path):
    first = write_folder(tmp_path / "a", names=("cat", "dog"))
    second = write_folder(tmp_path / "b", names=("dog", "yak"))
    both = dataset(f"{first}:0.5+{second}:0.5")
    assert both.class_names() == ("cat", "dog", "yak")
    seen = np.concatenate([b["class_id"] for b in itertools.islice(both.batches(), 8)])
    assert {*seen.tolist()} == {0, 1, 2}
    with pytest.raises(UserError, match="has no classes by CLASS_FEATURE = 'class': name a set"):
        dataset(f"{first}:0.5+emoji_quickstart_32:0.5").class_names()


def test_the_fingerprint_knows_the_classes(tmp_path):
    name = write_folder(tmp_path / "set")
    with_classes = dataset(name).fingerprint()
    without = dataset(name, "", captioned=False).fingerprint()
    assert with_classes["class_feature"] == "class"
    assert (
        without.items() < with_classes.items()
        and without.keys()
        | {
            "class_feature",
            "classes",
        }
        == with_classes.keys()
    )


def test_what_it_cannot_be(tmp_path):
    name = write_folder(tmp_path / "set")
    with pytest.raises(UserError, match="has no classes by CLASS_FEATURE = 'cls': set it to 'cla"):
        dataset(name, "cls").class_names()
    with pytest.raises(UserError, match=r"has one class, 'cat', by 'class' .*: bring two or more"):
        next(dataset(write_folder(tmp_path / "one", names=("cat",))).batches())
    flat, _ = made_pictures.good_set(4)
    for file, data in flat.items():
        (tmp_path / "cache").mkdir(exist_ok=True)
        (tmp_path / "cache" / file).write_bytes(data)
    with pytest.raises(UserError, match=r"has no picture \(4 in no class folder such as p000.png"):
        dataset(f"class_folder:{tmp_path / 'cache'}").class_names()
    with pytest.raises(UserError, match="CLASS_FEATURE = 'class': set it to 'concept' or"):
        dataset("emoji_quickstart_32").class_names()
    wrong = dataclasses.replace(dataset(name), task_feature_lengths={"text": 8})
    with pytest.raises(UserError, match="has keys \\['text'\\], but needs"):
        wrong.class_names()


def test_inspection_counts_them(tmp_path, capsys):
    name = write_folder(tmp_path / "set")
    assert main(["data", "inspect", name, "--output", str(tmp_path / "sheet.png")]) == 0
    said = capsys.readouterr().out
    assert "class: 3 classes: cat 14, dog 13, owl 13\n" in said and "words of" not in said


def test_words_for_counts():
    found = classes.counted(classes.collections.Counter({"a": 3, "": 2, "b": 1, "c": 2}), most=2)
    assert found == "3 classes: a 3, c 2 and 1 more; 2 pictures have none"


def test_any_name_of_a_folder_is_one_line(tmp_path):
    made = write_folder(tmp_path / "set", 12, names=("caf\udce9", "two\nlines"))
    assert dataset(made).class_names() == ("caf\\udce9", "two\\nlines")
    assert len(dataset(made).examples()["image"]) == 10
