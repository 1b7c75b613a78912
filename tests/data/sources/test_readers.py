"""Readers on hostile files: whatever these hold, only `UserError` comes out."""

import contextlib
import io
import json
import os
import shutil
import tarfile

import hypothesis
import pytest
from hypothesis import strategies as st

from babeldraw.data.sources import folders, pictures, readers, shards
from babeldraw.data.sources.record_shards import read_array_record, read_tfrecord
from babeldraw.errors import UserError
from tests.data import made_pictures

QUICK = hypothesis.settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)

# Pieces of good files, whole and mutilated: far likelier to get deep into a reader than noise.
NAMES = st.sampled_from(["a.png", "b/c.png", "../x.png", "/etc/passwd", "", ".", "a" * 300, "\0"])
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["\ud800", "good words", " \n"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
RECORDS = st.dictionaries(
    st.sampled_from(["file_name", "caption", "captions", "text", "image_id", "id", "image"]),
    NAMES | TEXTS | JSON,
)
LINES = st.one_of(
    RECORDS.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.just(b"[" * 5000),
    st.just(b'{"file_name": ' + b"9" * 5000 + b"}"),
)
FILES = st.lists(LINES, max_size=6).map(b"\n".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    (path / "b").mkdir()
    for name in ("a.png", "b/c.png"):
        (path / name).write_bytes(made_pictures.picture(1))
    return path


def listed(reader, *arguments):
    """What a reader lists, grouped; None if it refuses."""
    skipped = pictures.Skipped()
    try:
        found = pictures.collect(reader(*arguments, skipped), skipped)
    except UserError:
        return None
    for picture in found:
        assert picture.captions and all(caption.encode() for caption in picture.captions)
        if picture.place.whole:
            assert os.path.isfile(picture.place.file)
            assert os.path.dirname(picture.place.file).startswith(os.path.realpath(arguments[-1]))
    for line in pictures.named(skipped):
        line.encode()
    return found


@QUICK
@hypothesis.given(content=FILES)
def test_fuzz_jsonl(folder, content):
    (folder / "captions.jsonl").write_bytes(content)
    try:
        listed(folders.read_folder, folder)
    finally:
        (folder / "captions.jsonl").unlink()


@QUICK
@hypothesis.given(header=st.sampled_from([b"file_name,caption\n", b""]), content=FILES)
def test_fuzz_csv(folder, header, content):
    (folder / "captions.csv").write_bytes(header + content)
    try:
        listed(folders.read_folder, folder)
    finally:
        (folder / "captions.csv").unlink()


@QUICK
@hypothesis.given(content=st.binary(max_size=60))
def test_fuzz_sidecar(folder, content):
    (folder / "a.txt").write_bytes(content)
    found = listed(folders.read_folder, folder)
    assert {picture.name for picture in found} <= {"a.png"}


@QUICK
@hypothesis.given(
    content=FILES
    | st.fixed_dictionaries({"images": st.lists(RECORDS), "annotations": st.lists(RECORDS)}).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_fuzz_coco(folder, content):
    (folder / "c.json").write_bytes(content)
    listed(readers.read_coco, folder / "c.json", folder)


@QUICK
@hypothesis.given(content=FILES)
def test_fuzz_narratives(folder, content):
    (folder / "n.jsonl").write_bytes(content)
    listed(readers.read_narratives, folder / "n.jsonl", folder)


def _mutate(data, changes, end):
    data = bytearray(data)
    for position, value in changes:
        data[position % len(data)] = value
    return bytes(data[: max(1, len(data) - end)])


CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8)


def small_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in (
            ("x.png", b"1" * 90),
            ("x.txt", b"red"),
            ("y.jpg", b"2"),
            ("y.json", b"{}"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()[: 512 * 8]


TAR = small_tar()


@QUICK
@hypothesis.given(changes=CHANGES, end=st.integers(0, 3000))
def test_fuzz_tar(tmp_path, changes, end):
    (tmp_path / "s.tar").write_bytes(_mutate(TAR, changes, end))
    for picture in listed(shards.read_webdataset, tmp_path):
        with pytest.raises(UserError):  # their bytes are no pictures
            picture.read()


@QUICK
@hypothesis.given(changes=CHANGES, end=st.integers(0, 30))
def test_fuzz_parquet(tmp_path, changes, end):
    path = tmp_path / "00000.parquet"
    made_pictures.write("parquet", tmp_path, {"a.png": b"1", "b.png": None}, {"a.png": ["red"]})
    path.write_bytes(_mutate(path.read_bytes(), changes, end))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))
        listed(shards.read_parquet, tmp_path)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def _mutate_used(data, changes, end):
    """Changes bytes that are not padding, and cuts off the end."""
    data, used = bytearray(data), [index for index, byte in enumerate(data) if byte]
    for position, value in changes:
        data[used[position % len(used)]] = value
    return bytes(data[: max(1, len(data) - end)])


@pytest.mark.parametrize(
    ("kind", "reader"),
    [("tfrecord", read_tfrecord), ("array_record", read_array_record)],
)
@QUICK
@hypothesis.given(changes=CHANGES, end=st.just(0) | st.integers(0, 70_000))
def test_fuzz_records(tmp_path, kind, reader, changes, end):
    good, captions = made_pictures.good_set(3)
    made_pictures.write(kind, tmp_path, good, captions)
    (path, *_) = sorted(tmp_path.glob(f"*{kind}"))
    path.write_bytes(_mutate_used(path.read_bytes(), changes, end))
    for picture in listed(reader, tmp_path):
        with contextlib.suppress(UserError):
            picture.read()


def test_a_picture_in_two_files_of_names_is_one(folder):
    lines = [{"file_name": name, "caption": ["red", "blue"]} for name in ("a.png", "./b/../a.png")]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (picture,) = listed(folders.read_folder, folder)
    (folder / "captions.jsonl").unlink()
    assert picture.name == "a.png" and picture.captions == ("red", "blue", "red", "blue")


def test_a_link_that_leads_outside_is_left_out(tmp_path):
    (tmp_path / "secret.png").write_bytes(made_pictures.picture(1))
    inside = tmp_path / "set"
    inside.mkdir()
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "link.txt").write_text("a secret")
    (inside / "a.png").write_bytes(made_pictures.picture(1))
    (inside / "a.txt").symlink_to(tmp_path / "secret.png")
    skipped = pictures.Skipped()
    assert pictures.collect(folders.read_folder(inside, skipped), skipped) == []
    assert [*skipped.kinds["path outside the folder"]] == ["a.png", "link.png"]


def test_ids_of_digits_find_padded_names(tmp_path):
    for name in ("COCO_val2014_000000000042.jpg", "000000000043.jpg", "0a1b.jpg"):
        (tmp_path / name).write_bytes(made_pictures.picture(1))
    ids = [42, "43", "0a1b", "44"]
    lines = [json.dumps({"image_id": identity, "caption": "x"}) for identity in ids]
    (tmp_path / "n.jsonl").write_text("\n".join(lines))
    skipped = pictures.Skipped()
    found = pictures.collect(
        readers.read_narratives(tmp_path / "n.jsonl", tmp_path, skipped), skipped
    )
    assert len(found) == 3 and skipped.kinds == {"missing picture": {"image_id 44": None}}


def test_a_shard_that_breaks_off_keeps_what_came_before(tmp_path):
    good, captions = made_pictures.good_set(40)
    name = made_pictures.write("webdataset", tmp_path, good, captions)
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    skipped = pictures.Skipped()
    found = pictures.collect(shards.read_webdataset(tmp_path, skipped), skipped)
    assert name and 25 < len(found) < 40 and "damaged shard" in skipped.kinds
    for picture in found:
        picture.read()


def test_a_failed_download_says_so(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for name, data in (
            ("1.json", b'{"status": "failed_to_download", "caption": "x"}'),
            ("2.png", made_pictures.picture(2)),
            ("2.json", b'{"caption": "from the JSON"}'),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    skipped = pictures.Skipped()
    (picture,) = pictures.collect(shards.read_webdataset(tmp_path, skipped), skipped)
    assert picture.captions == ("from the JSON",)
    assert skipped.kinds == {"failed download": {"s.tar/1": None}}


def test_a_parquet_file_is_copied_once(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))
    made_pictures.write("parquet", tmp_path / "set", *made_pictures.good_set(5))
    read = [
        pictures.collect(
            shards.read_parquet(tmp_path / "set", pictures.Skipped()), pictures.Skipped()
        )
        for _ in range(2)
    ]
    assert read[0] == read[1] and len(read[0]) == 5
    (copy,) = (tmp_path / "cache" / "parquet").iterdir()
    assert copy.stat().st_size == sum(picture.place.size for picture in read[0])
    assert made_pictures.colours([picture.read() for picture in read[0]]) == list(range(5))
