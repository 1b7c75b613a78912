"""Small picture sets of every layout, really written to disk, with chosen faults."""

import io
import json
import tarfile
import zlib

import numpy as np
import pyarrow as pa
import tensorflow as tf
from PIL import Image
from pyarrow import parquet

from babeldraw.data.sources import records

KINDS = (
    *("folder", "csv", "sidecar", "coco", "narratives"),
    *("webdataset", "parquet", "tfrecord", "array_record"),
)
NO_FILES = ("webdataset", "parquet", "tfrecord", "array_record")
"""Layouts in which a picture is no file, and so cannot stand outside the folder."""


def picture(index, width=40, height=30):
    """PNG of one colour, which tells the index; its name does, too."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (index % 256, index // 256, 99)).save(file, "PNG")
    return file.getvalue()


def bomb():
    """A PNG of 10^8 + pixels in a few bytes: its header says so."""
    data = bytearray(picture(0))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def captions_of(index):
    return [f"thing number {index}", f"a picture of {index}"][: 1 + index % 2]


def write(kind, folder, pictures, captions):
    """Writes {name: bytes} and {name: [captions, str or bytes]} and returns the task's name."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {
        "webdataset": _tar,
        "parquet": _parquet,
        "tfrecord": _tfrecord,
        "array_record": _array_record,
    }
    if kind in writers:
        return writers[kind](folder, pictures, captions)
    for name, data in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {
        "folder": _jsonl,
        "csv": _csv,
        "sidecar": _sidecar,
        "coco": _coco,
        "narratives": _narratives,
    }[kind](folder, captions)


def _json(caption):
    if isinstance(caption, bytes):
        return b'"' + caption + b'"'
    return json.dumps(caption).encode()


def _jsonl(folder, captions):
    with (folder / "captions.jsonl").open("wb") as file:
        for name, texts in captions.items():
            for text in texts:
                line = b'{"file_name": %s, "caption": %s}\n'
                file.write(line % (json.dumps(name).encode(), _json(text)))
    return f"folder:{folder}"


def _csv(folder, captions):
    with (folder / "captions.csv").open("wb") as file:
        file.write(b"file_name,caption\n")
        for name, texts in captions.items():
            for text in texts:
                raw = text if isinstance(text, bytes) else text.encode()
                file.write(b'%s,"%s"\n' % (name.encode(), raw))
    return f"folder:{folder}"


def _sidecar(folder, captions):
    for name, texts in captions.items():
        raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
        if not name.startswith(("..", "/")):
            (folder / name).with_suffix(".txt").write_bytes(b"\n".join(raw))
    return f"folder:{folder}"


def _coco(folder, captions):
    images, annotations = [], []
    for index, (name, texts) in enumerate(captions.items()):
        images.append(json.dumps({"id": index, "file_name": name}).encode())
        annotations += [
            b'{"image_id": %d, "id": 7, "caption": %s}' % (index, _json(text)) for text in texts
        ]
    parts = (b", ".join(images), b", ".join(annotations))
    (folder / "captions.json").write_bytes(b'{"images": [%s], "annotations": [%s]}' % parts)
    return f"coco:{folder / 'captions.json'}"


def _narratives(folder, captions):
    with (folder / "n.jsonl").open("wb") as file:
        for name, texts in captions.items():
            identity = json.dumps(name.rpartition(".")[0]).encode()
            for text in texts:
                file.write(b'{"image_id": %s, "caption": %s}\n' % (identity, _json(text)))
    return f"narratives:{folder / 'n.jsonl'}"


def _tar(folder, pictures, captions):
    names = sorted({*pictures, *captions})
    for shard in range(2):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for name in names[shard::2]:
                stem, _, suffix = name.rpartition(".")
                if name in pictures:
                    _add(archive, f"{stem}.{suffix}", pictures[name])
                if captions.get(name):
                    text = captions[name][0]
                    _add(archive, f"{stem}.txt", text if isinstance(text, bytes) else text.encode())
    return f"webdataset:{folder}"


def _add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _parquet(folder, pictures, captions):
    names = sorted({*pictures, *captions})
    texts = [(captions.get(name) or [None])[0] for name in names]
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    table = pa.table(
        {
            "key": names,
            "jpg": pa.array([pictures.get(name) for name in names], pa.binary()),
            "caption": pa.array(raw, pa.binary()),
        }
    )
    parquet.write_table(table, folder / "00000.parquet")
    return f"parquet:{folder}"


def example(**features):
    """A serialized `tf.train.Example`."""
    made = tf.train.Example()
    for key, values in features.items():
        kind = "int64_list" if isinstance(values[0], int) else "bytes_list"
        getattr(made.features.feature[key], kind).value.extend(values)
    return made.SerializeToString()


def _tfrecord(folder, pictures, captions):
    """As img2dataset does: one caption, beside features that say other things."""
    with tf.io.TFRecordWriter(str(folder / "00000.tfrecord")) as writer:
        for name in sorted({*pictures, *captions}):
            features = {"key": [name.encode()], "width": [40], "url": [b"http://x/"]}
            if name in pictures:
                features["jpg"] = [pictures[name]]
            if captions.get(name):
                text = captions[name][0]
                features["txt"] = [text if isinstance(text, bytes) else text.encode()]
            writer.write(example(**features))
    return f"tfrecord:{folder}"


def _array_record(folder, pictures, captions):
    names = sorted({*pictures, *captions})
    for shard in range(2):
        encoded = []
        for name in names[shard::2]:
            texts = [t if isinstance(t, bytes) else t.encode() for t in captions.get(name, ())]
            features = {"name": [name.encode()], "captions": texts}
            if name in pictures:
                features["image"] = [pictures[name]]
            encoded.append(records.encode(features))
        records.write(folder / f"{shard}.array_record", encoded, "")
    return f"array_record:{folder}"


def good_set(count, width=40, height=30):
    names = [f"p{index:03d}.png" for index in range(count)]
    pictures = {name: picture(i, width, height) for i, name in enumerate(names)}
    return pictures, {name: captions_of(i) for i, name in enumerate(names)}


def colours(images):
    """The index that each picture's colour tells."""
    return (np.asarray(images)[:, 2, 2, :2].astype(int) @ [1, 256]).tolist()
