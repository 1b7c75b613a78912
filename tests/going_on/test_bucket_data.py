"""Contract: shards, records and tokens in a bucket give the batches of the same files on a disk."""

import numpy as np
import pytest

from babeldraw.data import vocabulary
from babeldraw.data.sources import records, token_set
from tests.data import made_pictures
from tests.going_on.bucket import BUCKET, serving

KINDS = made_pictures.NO_FILES

COMPARE = """
import itertools, pathlib, sys
import numpy as np
from babeldraw import files
from babeldraw.data.streams import pipeline
folder, bucket = pathlib.Path(sys.argv[1]), files.path(sys.argv[2])
for path in folder.rglob("*"):
    if path.is_file():
        (bucket / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
for kind in sys.argv[3:]:
    both = []
    for where in (folder / kind, f"{bucket}/{kind}"):
        name = f"{kind}:{where}"
        dataset = pipeline.Dataset(name, {"text": 8, "image": 16}, batch_size=8)
        both.append(list(itertools.islice(dataset.batches(start_step=3), 6)))
    for one, other in zip(*both, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    print(kind, "the same")
"""

MODEL = """
import sys
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
try:
    print(len(pipeline.Dataset(sys.argv[1], {"text": 8, "image": 16}).vocabulary_model))
except UserError as error:
    print(error)
"""

REFUSED = """
from babeldraw.data import tasks
from babeldraw.errors import UserError
for name in ("folder:gs://pod/set", "coco:gs://pod/a.json", "webdataset:gs://pod/nothing"):
    try:
        tasks.find_task(name, "train")
    except UserError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def bucket():
    with serving() as found:
        yield found


def write_tokens(folder):
    manifest = token_set.Manifest("0" * 64, "a", 16, 2, 1, {"train": 30}, {"train": 2})
    folder.mkdir()
    manifest.write(folder)
    for shard in range(2):
        encoded = [
            token_set.encode_example(np.full((1, 4), index, np.uint16), (f"thing {index}",), "n")
            for index in range(shard, 30, 2)
        ]
        records.write(manifest.shard(folder, "train", shard), encoded, "")


def test_data_in_a_bucket_are_those_on_a_disk(bucket, tmp_path, monkeypatch):
    monkeypatch.setitem(bucket.environment, "BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))
    for kind in KINDS:
        made_pictures.write(kind, tmp_path / "set" / kind, *made_pictures.good_set(40, 30, 20))
    write_tokens(tmp_path / "set" / "tokens")
    for kind in (*KINDS, "tokens"):
        path = tmp_path / "set" / kind / "vocabulary.model"
        path.write_bytes(vocabulary.EMOJI_VOCABULARY.read_bytes())
    said = bucket.run("-c", COMPARE, tmp_path / "set", f"gs://{BUCKET}/set", *KINDS, "tokens")
    for kind in (*KINDS, "tokens"):
        assert f"{kind} the same" in said


def test_own_pictures_are_packed_into_a_bucket_with_their_vocabulary(bucket, tmp_path):
    """As docs/own_pictures.md has it; nothing comes to lie in a folder named gs: beside."""
    command = ("-m", "babeldraw.cli.main")
    folder = made_pictures.write("folder", tmp_path / "set", *made_pictures.good_set(40, 30, 20))
    output = f"gs://{BUCKET}/packed"
    pack = (*command, "data", "pack", folder, "--format=tfrecord", f"--output={output}")
    task = f"tfrecord:{output}"
    assert f"train on them with the task {task}" in bucket.run(*pack, cwd=tmp_path)
    said = bucket.run("-c", MODEL, task)
    advice = f"babeldraw vocab --task {task} --size 16000 --output {output}/vocabulary.model"
    assert f"vocabulary {output}/vocabulary.model is missing: make it with `{advice}`" in said

    vocab = advice.replace("16000", "300").split()[1:]
    assert "wrote 300 pieces to" in bucket.run(*command, *vocab, cwd=tmp_path)
    assert bucket.run("-c", MODEL, task).strip().isdigit()
    # And where there is one already, it goes along.
    local = folder.partition(":")[2]
    (tmp_path / "vocabulary").write_bytes(vocabulary.EMOJI_VOCABULARY.read_bytes())
    (tmp_path / "vocabulary").rename(f"{local}/vocabulary.model")
    bucket.run(*pack, cwd=tmp_path)
    size = len(vocabulary.EMOJI_VOCABULARY.read_bytes())
    assert bucket.run("-c", MODEL, task).strip() == str(size)
    assert {path.name for path in tmp_path.iterdir()} == {"set"}


def test_what_a_bucket_is_not_for_is_a_sentence(bucket):
    said = bucket.run("-c", REFUSED)
    assert said.count("pack them with `babeldraw data pack`") == 2
    assert "There is no 'gs://pod/nothing'" in said
