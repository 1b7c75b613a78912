"""Files of a run directory, which may be missing or damaged, and none that lies outside of it."""

import json
import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from babeldraw import files
from babeldraw.errors import UserError


def own_bytes(directory: epath.Path, name: str) -> bytes | None:
    """Of a file of the run; None where it is not there, or is a link to a file of somebody else's.

    Raises:
      UserError: it is there and cannot be read.
    """
    path = directory / name
    if not files.is_remote(directory):
        real, folder = os.path.realpath(path), os.path.realpath(directory)
        if os.path.commonpath([real, folder]) != folder:
            return None
    try:
        return bytes(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): give the rights to read it."
        ) from error
    except Exception as error:
        if type(error).__name__ == "NotFoundError":  # TensorFlow's
            return None
        raise


def text_of(path: epath.Path) -> str:
    """As `own_bytes`; "" where there is none."""
    return (own_bytes(path.parent, path.name) or b"").decode("utf-8", "replace")


def json_of(path: epath.Path) -> Mapping[str, Any]:
    """Of a file that may be missing or damaged: then it says nothing."""
    try:
        found = json.loads(text_of(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def lines_of(path: epath.Path) -> list[Mapping[str, Any]]:
    """The objects of a file with one a line, without what is none."""
    found: list[Mapping[str, Any]] = []
    for line in text_of(path).splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # such as one that a kill cut short
            continue
        if isinstance(record, dict):
            found.append(record)
    return found
