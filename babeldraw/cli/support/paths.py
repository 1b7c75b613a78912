"""Where recipes (gin/) and machine files (configs/) are looked for."""

import difflib
from collections.abc import Iterable
from pathlib import Path

import babeldraw
from babeldraw.errors import UserError


def repository_root() -> Path | None:
    """The checkout that holds this package, or None when the package is installed without one."""
    root = Path(babeldraw.__file__).resolve().parent.parent
    return root if (root / "gin").is_dir() or (root / "configs").is_dir() else None


def search_folders(extra: Iterable[str] = ()) -> list[Path]:
    """The folders in which a relative path is looked for, first match wins: cwd, `extra`, root."""
    root = repository_root()
    return [Path(), *map(Path, extra), *([root] if root else [])]


def find_file(name: str, folders: Iterable[Path], what: str) -> Path:
    """The first of `folders` that holds `name`, joined to it.

    Args:
      name: an absolute path, or one relative to any of `folders`.
      folders: where to look, in order.
      what: names the kind of file in the error, such as "gin file".

    Raises:
      UserError: no folder has it; names the closest file of the same suffix that exists.
    """
    folders = list(folders)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    advice = f"looked in {', '.join(str(folder.resolve()) for folder in folders)}"
    close = _closest(name, folders)
    if close:
        advice = f"did you mean {close}?"
    raise UserError(f"there is no {what} {name}; {advice}")


def _closest(name: str, folders: Iterable[Path]) -> str | None:
    """The existing path closest to `name`, among those with its suffix in its folder's tree."""
    top = Path(name).parts[0] if len(Path(name).parts) > 1 else "."
    known = [
        str(path.relative_to(folder))
        for folder in folders
        if not Path(name).is_absolute() and (folder / top).is_dir()
        for path in (folder / top).glob("**/*" if top != "." else "*")
        if path.suffix == Path(name).suffix
    ]
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)
