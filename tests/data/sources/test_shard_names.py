"""Contract: shards that are called alike, lost or left over merge and lose nothing unseen."""

import io
import tarfile

import pytest

from babeldraw.data import tasks
from babeldraw.data.sources.names import open_task
from babeldraw.errors import UserError
from tests.data import made_pictures

SHARDS = ("webdataset", "parquet", "tfrecord", "array_record")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))


def read(name):
    source = open_task(name).source
    return source.pictures("train") + source.pictures("validation"), source.skipped.kinds


@pytest.mark.parametrize("kind", SHARDS)
def test_two_folders_of_shards_of_the_same_names(kind, tmp_path):
    for number, animal in enumerate(("cat", "dog")):
        pictures = {f"p{i}.png": made_pictures.picture(100 * number + i) for i in range(6)}
        captions = {name: [f"{animal} {i}"] for i, name in enumerate(pictures)}
        made_pictures.write(kind, tmp_path / "set" / f"{animal}s", pictures, captions)
    found, skipped = read(f"{kind}:{tmp_path / 'set'}")
    assert not skipped
    told = {picture.captions: made_pictures.colours([picture.read()])[0] for picture in found}
    expected = {(f"cat {i}",): i for i in range(6)} | {(f"dog {i}",): 100 + i for i in range(6)}
    assert told == expected


@pytest.mark.parametrize("kind", SHARDS)
def test_a_folder_of_its_own_names_pictures_as_before(kind, tmp_path):
    pictures, captions = made_pictures.good_set(4)
    made_pictures.write(kind, tmp_path / "set", pictures, captions)
    names = {picture.name.rpartition("/")[0] for picture in read(f"{kind}:{tmp_path / 'set'}")[0]}
    shards = {path.name for path in (tmp_path / "set").iterdir()}
    assert names == ({""} if kind == "array_record" else shards)


def test_a_member_twice_is_named(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (
            ("x.png", made_pictures.picture(1)),
            ("x.txt", b"one"),
            ("x.png", made_pictures.picture(2)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (picture,), skipped = read(f"webdataset:{tmp_path}")
    assert made_pictures.colours([picture.read()]) == [1]
    assert skipped == {"name taken": {"a.tar/x.png": None}}


def test_a_name_twice_is_named(tmp_path):
    for shard in ("a", "b"):
        pictures = {"same.png": made_pictures.picture(ord(shard))}
        made_pictures.write("array_record", tmp_path / shard, pictures, {"same.png": [shard]})
        (tmp_path / shard / "0.array_record").rename(tmp_path / f"{shard}.array_record")
    (picture,), skipped = read(f"array_record:{tmp_path}")
    assert picture.captions == ("a",)
    assert list(skipped["name taken"]) == [f"same.png of {tmp_path / 'b.array_record'}"]


@pytest.fixture
def pack(tmp_path):
    pictures, captions = made_pictures.good_set(8)
    made_pictures.write("folder", tmp_path / "from", pictures, captions)

    def pack(shard_size, suffix=".tfrecord"):
        from babeldraw.data.sources.record_shards import write_pictures

        source = tasks.find_task(f"folder:{tmp_path / 'from'}", "train").source
        found = source.pictures("train") + source.pictures("validation")
        return write_pictures(found, tmp_path / "packed", suffix, shard_size)

    return pack


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
def test_a_lost_shard_of_a_pack_is_named(kind, pack, tmp_path):
    assert pack(2, f".{kind}") == 8
    assert len(read(f"{kind}:{tmp_path / 'packed'}")[0]) == 8
    lost = tmp_path / "packed" / f"00002-of-00004.{kind}"
    lost.unlink()
    found, skipped = read(f"{kind}:{tmp_path}/packed/")
    assert len(found) == 6 and skipped == {"missing shard": {lost.name: None}}


def test_what_an_earlier_pack_left_over_is_refused(pack, tmp_path):
    pack(2)
    pack(4)
    with pytest.raises(UserError, match="shards of 00002 and of 00004"):
        read(f"tfrecord:{tmp_path / 'packed'}")
