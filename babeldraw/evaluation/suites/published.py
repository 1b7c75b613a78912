"""Published sets of prompts, from the files that one downloads oneself.

None of these files comes with Babeldraw. Which part of them is taken, and how, is as the field does
it where it says so, and else by hashes: a set is the same wherever it is read.
"""

import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from babeldraw.data.sources import readers
from babeldraw.data.sources.pictures import Picture, Skipped, collect, in_short
from babeldraw.errors import UserError
from babeldraw.evaluation.suites.entries import Entry, Suite, by_hash, digest_of, make_suite
from babeldraw.evaluation.suites.files import stem_of

COCO_CAPTIONS = 30_000
"""Of the validation set of 2014, in zero-shot evaluations since DALL-E (arXiv 2102.12092)."""
KARPATHY_TEST = 5_000
"""Pictures of the test split that captioning is evaluated on (arXiv 1412.2306)."""


def coco_30k(where: str) -> Suite:
    """30,000 captions of MS-COCO's 2014 validation, each of another picture, with that picture.

    Args:
      where: `captions_val2014.json[,FOLDER]`; the folder of the pictures is that of the file by
        default.

    Raises:
      UserError: a file is missing, or there are too few pictures with captions.
    """
    file, folder = _paths(where)
    pictures = _listed(readers.read_coco, file, folder)
    if len(pictures) < COCO_CAPTIONS:
        raise UserError(
            f"{file} has captions of {len(pictures):,} pictures, and MS-COCO 30K needs "
            f"{COCO_CAPTIONS:,}; give captions_val2014.json and the folder of its pictures."
        )
    entries = by_hash([_one_caption(picture) for picture in pictures], COCO_CAPTIONS)
    note = (
        f"{COCO_CAPTIONS:,} of the {len(pictures):,} pictures of {file.name}, by the hashes of "
        "their names, each with one of its captions, by their hashes. The references are these "
        "pictures."
    )
    return make_suite("coco-30k", entries, [note])


def coco_5k(where: str) -> Suite:
    """A caption of each of the 5,000 pictures of Karpathy's test split, with that picture.

    Args:
      where: `dataset_coco.json[,FOLDER]`; the folder has val2014/ inside.

    Raises:
      UserError: a file is missing, or it is another file.
    """
    file, folder = _paths(where)
    content = _json(file)
    images = content.get("images") if isinstance(content, dict) else None
    test = [each for each in images or () if isinstance(each, dict) and each.get("split") == "test"]
    if len(test) != KARPATHY_TEST:
        raise UserError(
            f"{file} has {len(test):,} pictures of a test split, and Karpathy's dataset_coco.json "
            f"has {KARPATHY_TEST:,}; give that file."
        )
    entries = []
    for image in test:
        match image:
            case {
                "filename": str() as name,
                "filepath": str() as part,
                "sentences": list() as said,
            }:
                captions = [each["raw"].strip() for each in said if each.get("raw", "").strip()]
                if captions:
                    stem = pathlib.PurePosixPath(name).stem
                    entries.append(_chosen(stem, captions, str(folder / part / name)))
                    continue
        raise UserError(f"{file} has a picture without a name or sentences; fetch it again.")
    missing = [each for each in entries if not pathlib.Path(str(each.reference)).is_file()]
    if missing:
        raise UserError(
            f"{missing[0].reference} of {file.name} is not there ({len(missing):,} such); give the "
            "folder that val2014/ is in."
        )
    note = "The test split of Karpathy's file, each picture with one of its captions, by hashes."
    return make_suite("coco-5k", entries, [note])


def narratives(where: str) -> Suite:
    """Localized Narratives: a narrative of each picture, with that picture.

    Args:
      where: `FILE.jsonl[,FOLDER]`.

    Raises:
      UserError: a file is missing.
    """
    file, folder = _paths(where)
    pictures = _listed(readers.read_narratives, file, folder)
    note = f"{file.name}, each picture with one of its narratives, by hashes."
    return make_suite("narratives", [_one_caption(picture) for picture in pictures], [note])


def parti(where: str) -> Suite:
    """PartiPrompts (arXiv 2206.10789): its TSV has the columns Prompt, Category, Challenge, Note.

    Raises:
      UserError: the file cannot be read, or has other columns.
    """
    path = pathlib.Path(where).expanduser()
    with readers.open_text(path) as file:
        lines = [line.rstrip("\r\n").split("\t") for line in file if line.strip()]
    header = [column.strip().lower() for column in lines[0]] if lines else []
    if not {"prompt", "category", "challenge"} <= set(header):
        raise UserError(
            f"{where} does not begin with the columns Prompt, Category and Challenge; give "
            "PartiPrompts.tsv as it is published."
        )
    taken: Counter[str] = Counter()
    entries = []
    for number, cells in enumerate(lines[1:], 2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if not row.get("prompt"):
            raise UserError(f"{where}:{number} has no prompt; fetch the file again.")
        stem = stem_of(row["prompt"])
        taken[stem] += 1
        again = f"-{taken[stem]}" if taken[stem] > 1 else ""
        kinds = row.get("category", ""), row.get("challenge", "")
        entries.append(Entry(f"{stem}{again}", row["prompt"], *kinds))
    return make_suite("parti", entries)


def _paths(where: str) -> tuple[pathlib.Path, pathlib.Path]:
    name, comma, folder = where.partition(",")
    file = pathlib.Path(name).expanduser()
    if not file.is_file():
        raise UserError(f"there is no file {name!r}; give the one with the captions.")
    images = pathlib.Path(folder).expanduser() if comma else file.parent
    if not images.is_dir():
        raise UserError(f"there is no folder {folder!r}; give the one with the pictures.")
    return file, images


def _listed(reader: Any, file: pathlib.Path, folder: pathlib.Path) -> Sequence[Picture]:
    skipped = Skipped()
    pictures = collect(reader(file, folder, skipped), skipped)
    left_out = {kind for kind in skipped.kinds if kind != "empty caption"}
    if left_out:  # Another set of pictures would have another score.
        raise UserError(
            f"{file} cannot be read whole ({in_short(skipped)}); put what is missing there, or "
            "fetch the file again."
        )
    return pictures


def _json(file: pathlib.Path) -> Any:
    with readers.open_text(file) as opened:
        content = readers.parse_json(opened.read())
    if content is None:
        raise UserError(f"{file} is no JSON; fetch it again.")
    return content


def _one_caption(picture: Picture) -> Entry:
    stem = pathlib.PurePosixPath(picture.name).stem
    return _chosen(stem, picture.captions, picture.place.file)


def _chosen(stem: str, captions: Sequence[str], reference: str) -> Entry:
    caption = min(captions, key=lambda each: digest_of(f"{stem}\0{each}"))
    return Entry(stem, " ".join(caption.split()), reference=reference)
