"""Contract: captions as other tools leave them are read; what is not is counted and named."""

import csv
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from babeldraw.data.picture_files.images import NO_HEIF
from babeldraw.data.sources import csv_rows, folders, pictures
from babeldraw.data.sources.picture_source import PictureSource
from babeldraw.errors import UserError
from tests.data import made_pictures


@pytest.fixture
def folder(tmp_path):
    for index in range(4):
        (tmp_path / f"{index}.png").write_bytes(made_pictures.picture(index))
    return tmp_path


def read(folder, **settings):
    """Captions by name, and what was left out by kind."""
    skipped = pictures.Skipped()
    found = pictures.collect(folders.read_folder(folder, skipped), skipped, **settings)
    kinds = {kind: [*names] for kind, names in skipped.kinds.items()}
    return {picture.name: picture.captions for picture in found}, kinds


NAMES = [f"{index}.png" for index in range(4)]
ALL = {name: (f"thing {name}",) for name in NAMES}


@pytest.mark.parametrize("file", ["captions.jsonl", "metadata.jsonl"])
@pytest.mark.parametrize("key", ["caption", "text"])
def test_jsonl(folder, file, key):
    lines = [json.dumps({"file_name": name, key: f"thing {name}"}) for name in NAMES]
    (folder / file).write_text("\n".join(lines))
    assert read(folder) == (ALL, {})


@pytest.mark.parametrize("file", ["captions.csv", "metadata.csv"])
@pytest.mark.parametrize("key", ["caption", "text"])
def test_csv(folder, file, key):
    with (folder / file).open("w", newline="") as opened:
        csv.writer(opened).writerows([("file_name", key), *((n, f"thing {n}") for n in NAMES)])
    assert read(folder) == (ALL, {})


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_of_spreadsheets(folder, separator):
    lines = [("file_name", "caption"), *((name, f"thing {name}") for name in NAMES)]
    rows = [separator.join(line) + "\r\n" for line in lines]
    (folder / "captions.csv").write_text("\ufeff" + "".join(rows), newline="")
    assert read(folder) == (ALL, {})


def test_parquet(folder):
    names = pa.array([*NAMES, None, "gone.png"])
    texts = pa.array([*(f"thing {name}" for name in NAMES), "words", "words"])
    parquet.write_table(pa.table({"file_name": names, "text": texts}), folder / "metadata.parquet")
    skipped = {"malformed line": ["metadata.parquet: row 4"], "missing picture": ["gone.png"]}
    assert read(folder) == (ALL, skipped)
    (folder / "metadata.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read(folder)


@pytest.mark.parametrize("file", ["metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_the_folders_of_imagefolder(tmp_path, file):
    for split in ("train", "test"):
        for index in range(12 if split == "train" else 3):
            picture = tmp_path / split / "deep" / f"{index}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(made_pictures.picture(index))
        rows = [(f"deep/{index}.png", f"thing {index}") for index in range(12)]
        if split == "test":
            rows = [*rows[:3], ("../train/deep/0.png", "again"), ("../../x.png", "outside")]
        write_table(tmp_path / split / file, rows)
    source = PictureSource(lambda skipped: folders.read_folder(tmp_path, skipped), "mine")
    assert source.splits == ("train", "validation", "test")
    names = {split: [p.name for p in source.pictures(split)] for split in source.splits}
    assert names["test"] == [f"test/deep/{index}.png" for index in range(3)]
    assert len(names["train"]) == 10 and len(names["validation"]) == 2
    found = {p.name: p.captions for split in source.splits for p in source.pictures(split)}
    assert found["test/deep/1.png"] == ("thing 1",)
    assert found["train/deep/0.png"] == ("again", "thing 0")
    assert source.skipped.kinds == {"path outside the folder": {"test/../../x.png": None}}


def write_table(path, rows):
    rows = [dict(zip(("file_name", "text"), row, strict=True)) for row in rows]
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["file_name", "text"])
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize(
    ("where", "splits"),
    [
        ({"train": 9, "validation": 2, "test": 1}, {"train": 9, "validation": 2, "test": 1}),
        ({"Train": 9, "val": 2}, {"train": 9, "validation": 2}),
        ({"train": 10}, {"train": 8, "validation": 2}),
        ({"train": 9, "bus": 1}, {"train": 8, "validation": 2}),  # of trains
        ({"train": 8, "test": 1, ".": 1}, {"train": 8, "validation": 2}),
        ({"validation": 5, "test": 5}, {"train": 8, "validation": 2}),
    ],
)
def test_splits_by_folders(where, splits):
    some = [
        pictures.Picture(f"{folder}/{index}.png".removeprefix("./"), ("a",), pictures.Place("x"))
        for folder, count in where.items()
        for index in range(count)
    ]
    found = pictures.split_pictures(some)
    assert {split: len(members) for split, members in found.items()} == splits


@pytest.mark.parametrize("ending", [".txt", ".caption", ".TXT"])
def test_sidecars(folder, ending):
    for name in NAMES:
        (folder / name).with_suffix(ending).write_text(f"thing {name}\n")
    assert read(folder) == (ALL, {})


def test_sidecars_named_after_the_whole_file(folder):
    for name in NAMES:
        (folder / f"{name}.txt").write_text(f"thing {name}")
    assert read(folder) == (ALL, {})


def test_what_else_stands_beside_pictures_is_counted(folder):
    for name in NAMES:
        (folder / name).with_suffix(".txt").write_text(f"thing {name}")
    for name in ("0.caption", "notes.txt", "dropped.json", "contact_sheet.png"):
        (folder / name).write_text("[]")
    assert read(folder) == (
        ALL,
        {
            "output of Babeldraw": ["contact_sheet.png"],
            "caption file not read": ["0.caption"],
            "caption without a picture": ["notes.txt"],
        },
    )


def test_one_file_for_all_and_others_beside(folder):
    (folder / "captions.jsonl").write_text('{"file_name": "1.png", "caption": "one"}')
    (folder / "metadata.csv").write_text("file_name,caption\n2.png,two")
    (folder / "sub").mkdir()
    (folder / "sub" / "metadata.jsonl").write_text("{}")
    (folder / "1.txt").write_text("no")
    (folder / "3.txt").write_text("three")
    found, kinds = read(folder)
    assert found == {"1.png": ("one",), "3.png": ("three",)}
    assert kinds == {
        "caption file not read": ["metadata.csv", "sub/metadata.jsonl"],
        "no caption": ["0.png", "2.png"],
    }


def test_pictures_that_the_captions_file_does_not_name(folder):
    (folder / "captions.jsonl").write_text('{"file_name": "1.png", "caption": "one"}')
    found, kinds = read(folder)
    assert found == {"1.png": ("one",)} and kinds == {"no caption": ["0.png", "2.png", "3.png"]}
    found, kinds = read(folder, captioned=False)
    assert [*found] == NAMES and found["1.png"] == ("one",) and not kinds


OTHER_FORMS = {
    "0.json": ["0.json"],
    "captions.tsv": ["captions.tsv"],
}


@pytest.mark.parametrize("file", OTHER_FORMS)
def test_captions_of_another_form_are_named(folder, file):
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("words")
    assert read(folder)[1] == {"no caption": NAMES, "caption file not read": OTHER_FORMS[file]}
    with pytest.raises(UserError, match=f"1 caption file not read such as {file}"):
        source = PictureSource(lambda skipped: folders.read_folder(folder, skipped), "mine")
        source.pictures("train")


def test_columns_of_a_csv_have_names(folder):
    (folder / "captions.csv").write_text("picture,caption\n0.png,a thing\n")
    with pytest.raises(UserError, match=r"must be file_name and caption.* are 'picture, caption'"):
        read(folder)


def test_endings_beside_a_caption(folder):
    for name in (*NAMES, "a.jxl", "b.jfif", "c.psd", "c.xmp", "nothing.png"):
        (folder / name).touch()
        (folder / name).with_suffix(".txt").write_text(f"thing {name}")
    (folder / "nothing.png").unlink()
    (folder / "notes.pdf").touch()
    found, kinds = read(folder)
    assert [*found] == [*NAMES, "b.jfif"]
    assert kinds == {
        "ending not read": ["a.jxl", "c.psd", "c.xmp"],
        "caption without a picture": ["nothing.txt"],
    }


def test_heic_is_named_with_what_reads_it():
    skipped = pictures.Skipped()
    skipped.add(NO_HEIF, "a.heic")
    (line,) = pictures.named(skipped)
    assert line == (
        "1 HEIC without pillow-heif (pip install 'babeldraw[pictures]' reads them): a.heic"
    )


ROWS = {
    "closed never": ('0.png,"thing zero\n1.png,one\n2.png,two\n', [2], ["1.png", "2.png"]),
    "closed by the next": ('0.png,"thing\n1.png,"one"\n2.png,two\n', [2], ["1.png", "2.png"]),
    "closed by an inch": ('0.png,"thing\n1.png,12 "\n2.png,two\n', [2], ["1.png", "2.png"]),
    "twice": ('0.png,"a\n1.png,"b\n2.png,two\n', [2, 3], ["2.png"]),
    "over lines": ('0.png,"one\nand two"\n1.png,one\n', [], ["0.png", "1.png"]),
    "more after a quote": ('0.png,"one" two\n1.png,one\n', [], ["0.png", "1.png"]),
    "at the end": ('0.png,one\n1.png,"one\n', [], ["0.png", "1.png"]),
    "too few": ("0.png\n\n1.png,one\n", [2], ["1.png"]),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_broken_row_of_a_csv_takes_no_other_with_it(folder, case):
    rows, lines, names = ROWS[case]
    (folder / "captions.csv").write_text("file_name,caption\n" + rows)
    found, kinds = read(folder)
    assert [*found] == names and ".png" not in str(found.get("0.png"))
    assert kinds.get("malformed line", []) == [f"captions.csv:{line}" for line in lines]


def test_many_unclosed_quotes_stay_quick():
    lines = [
        "file_name,caption\n",
        *(f'{index}.png,"thing\n' for index in range(3000)),
        "z.png,z\n",
    ]
    rows = [*csv_rows.read_rows(iter(lines), lambda name: name.endswith(".png"))]
    assert [number for number, row in rows if row is not None] == [1, 3002]
