"""Contract: pictures in TFRecord and ArrayRecord files, whole or damaged."""

import numpy as np
import pytest
import tensorflow as tf

from babeldraw.cli.main import main
from babeldraw.data import tasks
from babeldraw.data.sources import pictures, record_shards, records
from babeldraw.errors import UserError
from tests.data import made_pictures


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """21 pictures, one of which no one can read."""
    good, captions = made_pictures.good_set(20)
    good["q.png"], captions["q.png"] = b"broken", ["words"]
    return made_pictures.write("folder", tmp_path_factory.mktemp("set"), good, captions)


def raw(name):
    """Name, captions and pixels of all, by split."""
    source = tasks.find_task(name, "train").source
    return {
        split: [
            (picture["name"], picture["captions"]["text"].tolist(), picture["image"].tobytes())
            for picture in source.get_dataset(split, shuffle=False).as_numpy_iterator()
        ]
        for split in ("train", "validation")
    }


@pytest.mark.parametrize("format", ["array_record", "tfrecord"])
def test_packed_pictures_are_the_same(task, format, tmp_path, capsys):
    more = ["--output", str(tmp_path), "--format", format, "--shard_size=8"]
    assert main(["data", "pack", task, *more]) == 0
    assert f"wrote 21 pictures: train on them with the task {format}:" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 3
    packed = raw(f"{format}:{tmp_path}")
    assert packed == raw(task) and sum(map(len, packed.values())) == 20
    source = tasks.find_task(f"{format}:{tmp_path}", "train").source
    assert source.skipped.kinds == {"not an image": {"q.png": None}}


def listed(reader, folder):
    skipped = pictures.Skipped()
    return pictures.collect(reader(folder, skipped), skipped), skipped.kinds


def test_a_tfrecord_file_that_breaks_off_keeps_what_came_before(tmp_path):
    made_pictures.write("tfrecord", tmp_path, *made_pictures.good_set(40))
    path = tmp_path / "00000.tfrecord"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 9])
    found, kinds = listed(record_shards.read_tfrecord, tmp_path)
    assert 15 < len(found) < 25 and kinds == {"damaged shard": {path.name: None}}
    assert made_pictures.colours([picture.read() for picture in found]) == list(range(len(found)))


def masked_checksum(data):
    """CRC-32C (Castagnoli), bit by bit, masked as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize("length", [100, 2**40, 2**63 - 1, 2**64 - 16])
def test_a_length_beyond_the_file_is_not_believed(tmp_path, length):
    """TensorFlow alone ends the process at 2**40 bytes: there is no memory for them."""
    made_pictures.write("tfrecord", tmp_path, *made_pictures.good_set(4))
    path = tmp_path / "00000.tfrecord"
    head = length.to_bytes(8, "little")
    frame = head + masked_checksum(head).to_bytes(4, "little") + b"abc"
    path.write_bytes(path.read_bytes() + frame)
    found, kinds = listed(record_shards.read_tfrecord, tmp_path)
    assert made_pictures.colours([picture.read() for picture in found]) == [0, 1, 2, 3]
    assert kinds == {"damaged shard": {path.name: None}}


def test_a_flipped_bit_in_a_tfrecord_file_is_seen(tmp_path):
    made_pictures.write("tfrecord", tmp_path, *made_pictures.good_set(10))
    path = tmp_path / "00000.tfrecord"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found, kinds = listed(record_shards.read_tfrecord, tmp_path)
    assert 3 < len(found) < 7 and kinds == {"damaged shard": {path.name: None}}


def test_records_of_another_form_are_counted(tmp_path):
    good = made_pictures.example(png=[made_pictures.picture(1)], text=[b"red"])
    numbers = made_pictures.example(image=[3], caption=[4])
    without = made_pictures.example(key=[b"x"], caption=[b"a thing"])
    silent = made_pictures.example(key=[b"y"], jpg=[made_pictures.picture(1)])
    content = [b"noise", good, numbers, without, silent]
    records.write(tmp_path / "a.array_record", content, "")
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord-00000-of-00001")) as writer:
        for record in content:
            writer.write(record)
    for reader in (record_shards.read_array_record, record_shards.read_tfrecord):
        (picture,), kinds = listed(reader, tmp_path)
        assert picture.captions == ("red",) and picture.name.endswith("/1")
        np.testing.assert_array_equal(picture.read()[0, 0], [1, 0, 99])
        counted = {kind: len(names) for kind, names in kinds.items()}
        assert counted == {"damaged record": 1, "missing picture": 2, "no caption": 1}


def test_a_damaged_array_record_file(tmp_path):
    made_pictures.write("array_record", tmp_path, *made_pictures.good_set(10))
    path = tmp_path / "0.array_record"
    path.write_bytes(path.read_bytes()[:30_000])
    found, kinds = listed(record_shards.read_array_record, tmp_path)
    assert len(found) == 5 and kinds == {"damaged shard": {"0.array_record": None}}


def test_a_record_that_is_gone_by_the_time_it_is_read(tmp_path):
    picture = pictures.Picture("x", ("red",), pictures.Place(str(tmp_path / "a"), 3, None, True))
    with pytest.raises(UserError, match=r"x cannot be read \(damaged\)"):
        picture.read()


@pytest.mark.parametrize("suffix", [record_shards.TFRECORD, records.SUFFIX])
def test_a_file_that_is_gone_by_the_time_it_is_packed(suffix, tmp_path):
    """It is named, and not taken for a fault of the folder that is written to."""
    picture = pictures.Picture("x", ("red",), pictures.Place(str(tmp_path / "a")))
    with pytest.raises(UserError, match=r"x cannot be read \(No such file"):
        record_shards.write_pictures([picture], tmp_path / "out", suffix, 8)
    assert not list((tmp_path / "out").iterdir())


def test_no_records_and_nothing_to_pack(tmp_path, capsys):
    with pytest.raises(UserError, match=r"has no \.tfrecord file"):
        listed(record_shards.read_tfrecord, tmp_path)
    assert main(["data", "pack", "emoji_32", "--output", str(tmp_path)]) == 2
    assert "is no task of your own pictures" in capsys.readouterr().err


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        records.write(tmp_path / "file" / "a.array_record", [], "try elsewhere")
