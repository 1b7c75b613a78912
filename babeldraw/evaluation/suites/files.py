"""Suites as files that anyone can write: TSV, JSONL, or a prompt a line."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.evaluation.suites.entries import Entry, Suite, digest_of, make_suite

COLUMNS = ("id", "prompt", "category", "challenge", "reference", "checks")
_STEM = 40
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def read_suite(name: str) -> Suite:
    """A suite from a file.

    By its ending: `.tsv` has names of columns in its first line, `.jsonl` an object a line, each
    of them some of `COLUMNS` and `prompt` among these; any other has a prompt a line. Without ids,
    a prompt is called by its first words and its hash. A reference is the path of a picture,
    relative to the file's folder; `checks` is an object of texts.

    Raises:
      UserError: the file cannot be read, or one of its lines is not what it should be.
    """
    file = files.path(name)
    rows = list(_rows(file, name))
    taken: Counter[str] = Counter()
    entries = []
    for where, row in rows:
        entry = _entry(row, file.parent, where)
        if not entry.id:
            stem = stem_of(entry.prompt)
            taken[stem] += 1
            again = f"-{taken[stem]}" if taken[stem] > 1 else ""
            entry = Entry(f"{stem}{again}", **{k: v for k, v in vars(entry).items() if k != "id"})
        entries.append(entry)
    _require_references(entries, name)
    return make_suite(file.name, entries)


def stem_of(prompt: str) -> str:
    """A name for a prompt: its first words, and its hash."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:_STEM].strip("-")
    return f"{words}-{digest_of(prompt)[:8]}".strip("-")


def _rows(file: epath.Path, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each stands, and what its columns say."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UserError(f"{name} cannot be read ({reason}); give a suite's file.") from error
    text = text.removeprefix("\ufeff")
    if file.suffix == ".tsv":
        yield from _of_table(text, name)
        return
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if file.suffix != ".jsonl":
            yield where, {"prompt": line}
        elif line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is no JSON ({error}); write an object a line.") from error
            if not isinstance(row, dict):
                raise UserError(f"{where} is no JSON object; write one with a prompt.")
            yield where, row


def _of_table(text: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [column.strip().lower() for column in next(reader, [])]
    for row in reader:
        where = f"{name}:{reader.line_num}"
        if len(row) > len(header):
            raise UserError(
                f"{where} has {len(row)} columns and the first line names {len(header)}; take the "
                "tab out of a text."
            )
        if any(cell.strip() for cell in row):
            yield where, dict(zip(header, row, strict=False))


def _entry(row: Mapping[str, Any], folder: epath.Path, where: str) -> Entry:
    known = {column: row.get(column) for column in COLUMNS}
    for column in COLUMNS[:-1]:
        value = known[column]
        if value is not None and not isinstance(value, str):
            if column != "id" or isinstance(value, bool) or not isinstance(value, int):
                raise UserError(f"{where} has the {column} {value!r}; write a text.")
            known[column] = str(value)
    prompt = (known["prompt"] or "").strip()
    if not prompt:
        raise UserError(f"{where} has no prompt; say what to draw, or take the line out.")
    identity = (known["id"] or "").strip()
    if identity and not _SAFE.fullmatch(identity):
        raise UserError(
            f"{where} has the id {identity!r}, and files are called by it; write letters, digits, "
            "_, . and -, at most 100."
        )
    reference = (known["reference"] or "").strip()
    path = reference and (reference if files.is_remote(reference) else str(folder / reference))
    return Entry(
        identity,
        prompt,
        (known["category"] or "").strip(),
        (known["challenge"] or "").strip(),
        path or None,
        _checks(known["checks"], where),
    )


def _checks(value: Any, where: str) -> Mapping[str, str]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            value = [value]
    found = value or {}
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise UserError(
            f'{where} has checks that are no object of texts; write such as {{"tone": "dark"}}.'
        )
    return found


def _require_references(entries: list[Entry], name: str) -> None:
    """Raises a `UserError` where one is named and missing."""
    missing = [
        each
        for each in entries
        if isinstance(each.reference, str) and not files.path(each.reference).exists()
    ]
    if missing:
        raise UserError(
            f"the suite {name} names the reference {missing[0].reference} of {missing[0].id!r}, "
            f"which is not there ({len(missing)} such); put it there, or take it out."
        )
