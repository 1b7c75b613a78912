"""What commands that go through many pictures show meanwhile and afterwards."""

import sys
import time
from collections.abc import Mapping, Sequence

NAMES_SHOWN = 3


class Progress:
    """One line on stderr, written over itself twice a second at most."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._began = time.perf_counter()
        self._shown = 0.0

    def __call__(self, done: int) -> None:
        """Says that `done` pictures are done."""
        now = time.perf_counter()
        if now - self._shown < 0.5:
            return
        self._shown = now
        self._write(done, "")

    def of(self, total: int) -> None:
        """Says how many there will be, where that was not known at first."""
        self._total = total

    def close(self, done: int) -> None:
        """Shows the end and leaves the line: files that were none are no pictures to come."""
        self._total = None
        self._write(done, "\n")

    def _write(self, done: int, end: str) -> None:
        speed = done / max(time.perf_counter() - self._began, 1e-9)
        total = "" if self._total is None else f"/{self._total}"
        line = f"\r{done}{total} pictures | {speed:.1f} images/s"
        if self._total is not None and 0 < done < self._total:
            line += f" | {(self._total - done) / speed:.0f} s left"
        line += " " * 8  # Over what a longer line has left.
        print(line, end=end, file=sys.stderr, flush=True)


def skipped_summary(skipped: Mapping[str, Sequence[str]]) -> str:
    """One line: how many files of each kind were left out, with the first of their names.

    Files that are not meant to be pictures, such as captions beside them, are counted alone.
    """
    from babeldraw.data.sources.readers import is_picture

    if not skipped:
        return "skipped no file"
    kinds = []
    others = 0
    for kind, names in skipped.items():
        if kind == "not an image":
            others = sum(not is_picture(name) for name in names)
            names = [name for name in names if is_picture(name)]
        if not names:
            continue
        shown = ", ".join(map(printable, names[:NAMES_SHOWN]))
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        kinds.append(f"{len(names)} {kind} ({shown}{more})")
    if others:
        kinds.append(f"{others} of other kinds")
    count = sum(map(len, skipped.values()))
    return f"skipped {count} file{'s' if count > 1 else ''}: {'; '.join(kinds)}"


def printable(name: str) -> str:
    """A file name for the terminal: what would not print, or would steer it, is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in name
    )
