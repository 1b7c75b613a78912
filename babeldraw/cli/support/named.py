"""Names of trained models: the one in the box, folders here and in buckets, and repositories."""

import os
import pathlib
import re
import sys

import babeldraw
from babeldraw.errors import UserError
from babeldraw.files import is_remote, path
from babeldraw.training.keeping import run_folders

EMOJI = "emoji"
"""The model that comes with the package."""

BOX = pathlib.Path(babeldraw.__file__).parent / "data" / "assets"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "README.md")


def find_model(name: str) -> str:
    """The folder of a model: a path as it is, the one in the box, or the copy of a repository.

    A name such as OWNER/NAME is a repository of Hugging Face, unless there is a folder OWNER here;
    that it is read from there is said on stderr.

    Raises:
      UserError: there is no model of that name.
    """
    if name == EMOJI:
        folder = BOX / f"{EMOJI}_model"
        if not run_folders.is_exported(str(folder)):
            raise UserError(
                "This Babeldraw brings no trained model: train one with `bash "
                "launch/quickstart.sh`, and name its folder, runs/quickstart."
            )
        return str(folder)
    if is_remote(name) or path(name).exists() or not _is_repository(name):
        return name
    return _download(name)


def _is_repository(name: str) -> bool:
    return bool(_REPOSITORY.fullmatch(name)) and not os.path.isdir(name.partition("/")[0])


def _download(name: str) -> str:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(
            f"There is no folder {name}, and to read a repository of that name takes the package "
            "huggingface_hub: `pip install huggingface_hub`, or give a folder that is there."
        ) from None
    print(f"there is no folder {name}: reading it from Hugging Face", file=sys.stderr)
    try:
        # The files of an exported model, and nothing that could be run.
        return str(huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # of its own kinds, of HTTP's, and of the disk
        reason = (str(error) or repr(error)).splitlines()[0]
        raise UserError(
            f"There is no folder {name}, and no repository of that name was read ({reason}): check "
            "the name, the network and `hf auth login`."
        ) from error
