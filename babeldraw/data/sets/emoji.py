"""The emoji set as a TFDS builder, so that seqio's TfdsDataSource reads it.

Configs are named ``SELECTION_SIZE``: ``all_32``, ``people_32`` (the gender x tone x role grid) and
``quickstart_32`` (some roles of the grid), and the same at 64, 128 and 256 px once these are built
with ``babeldraw data build emoji``. The splits are those of the set, where they apply.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
from collections.abc import Iterator, Set
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from babeldraw.data.sets import emoji_grid, emoji_sheets
from babeldraw.data.sets.emoji_grid import GENDERS, TONES, Cell
from babeldraw.files import cache_dir

SIZES = (32, 64, 128, 256)
SELECTIONS = ("all", "people", "quickstart")
# Occupations share faces and hair and differ in hat, clothes and tool: what a prompt that was never
# seen asks for can be put together from parts that were. Chosen by looking at a contact sheet.
QUICKSTART_ROLES = (
    "artist",
    "astronaut",
    "cook",
    "farmer",
    "firefighter",
    "judge",
    "mechanic",
    "pilot",
    "scientist",
    "singer",
    "student",
    "teacher",
)
# Without `person`: at 32 px it differs from `man` by 0.7 to 1.1 levels of 255 on the mean for some
# of these roles in Fluent, less than a tokenizer's error.
QUICKSTART_GENDERS = ("man", "woman")

CLASS_FEATURES = ("concept", "style", "role", "gender", "tone")
_NUMBERED = {"gender": GENDERS, "tone": TONES}
_FEATURES = ("caption", "concept", "style", "role", "label", "group", "duplicate_of")


def select_cells(cells: list[Cell], selection: str) -> list[int]:
    """Indices of the cells that belong to a selection."""

    def chosen(cell: Cell) -> bool:
        if selection == "all":
            return True
        if selection == "people":
            return bool(cell.role)
        return cell.role in QUICKSTART_ROLES and GENDERS[cell.gender] in QUICKSTART_GENDERS

    return [index for index, cell in enumerate(cells) if chosen(cell)]


def class_of(value: Any, feature: str) -> str:
    """The name of a class, from the value that an example has of one of `CLASS_FEATURES`.

    Empty outside the people grid, where its features say nothing.
    """
    if feature not in _NUMBERED:
        name: str = value.decode()
        return name
    return _NUMBERED[feature][value] if value >= 0 else ""


def in_order(names: Set[str], feature: str) -> tuple[str, ...]:
    """Genders and skin tones as the grid has them, all else sorted; without the empty name."""
    order = _NUMBERED.get(feature, sorted(names))
    return tuple(name for name in order if name and name in names)


@dataclasses.dataclass
class EmojiConfig(tfds.core.BuilderConfig):
    """Which cells, at which size in pixels."""

    selection: str = "all"
    size: int = 32


class Emoji(tfds.core.GeneratorBasedBuilder):
    """Captioned emoji in three drawing styles.

    Features: ``image uint8[size, size, 3]`` on white, ``caption`` and the attributes of
    `babeldraw.data.sets.emoji_grid.Cell`.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[EmojiConfig]] = [
        EmojiConfig(name=f"{selection}_{size}", selection=selection, size=size)
        for size in SIZES
        for selection in SELECTIONS
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(size, size, 3), encoding_format="png"),
                    "gender": np.int32,
                    "tone": np.int32,
                    "role_index": np.int32,
                    **{name: tfds.features.Text() for name in _FEATURES},
                }
            ),
            supervised_keys=("caption", "image"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download
        config = self.builder_config
        folder = emoji_sheets.find_folder(config.size)
        cells = emoji_sheets.read_cells(folder)
        images = emoji_sheets.read_images(folder, config.size, cells)
        chosen = select_cells(cells, config.selection)
        splits: dict[str, list[int]] = {}
        for split in emoji_grid.SPLITS:
            members = [index for index in chosen if cells[index].split == split]
            if members:
                splits[split] = members
        return {
            split: self._generate_examples([(i, cells[i], images[i]) for i in members])
            for split, members in splits.items()
        }

    def _generate_examples(
        self, members: list[tuple[int, Cell, np.ndarray]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, cell, image in members:
            png = io.BytesIO()  # cheaper here than by TFDS, which runs a graph
            Image.fromarray(image).save(png, "PNG", compress_level=1)
            example: dict[str, Any] = {
                "image": io.BytesIO(png.getvalue()),
                "gender": cell.gender,
                "tone": cell.tone,
                "role_index": cell.role_index,
            }
            yield index, example | {name: getattr(cell, name) for name in _FEATURES}


def data_dir(size: int) -> pathlib.Path:
    """Folder of the prepared sets: BABELDRAW_DATA_DIR or `tfds` in the cache, and a digest.

    The digest is of what goes in, so that a changed set or role list is prepared anew.
    """
    root = os.environ.get("BABELDRAW_DATA_DIR")
    base = pathlib.Path(root).expanduser() if root else cache_dir() / "tfds"
    digest = hashlib.sha256(
        repr((QUICKSTART_ROLES, QUICKSTART_GENDERS, str(Emoji.VERSION))).encode()
    )
    folder = emoji_sheets.find_folder(size)
    digest.update((folder / emoji_sheets.CELLS_FILE).read_bytes())
    for sheet in sorted(folder.glob(f"*_{size}_*.webp")):
        digest.update(sheet.read_bytes())
    return base / digest.hexdigest()[:12]


def prepare(config_name: str) -> pathlib.Path:
    """Prepares a config of `Emoji` where it is not there yet; TFDS renames it in when whole.

    Returns:
      the TFDS data_dir that holds it.
    """
    size = int(config_name.rsplit("_", 1)[1])
    folder = data_dir(size)
    builder = Emoji(config=config_name, data_dir=str(folder))
    complete = pathlib.Path(builder.data_dir) / "dataset_info.json"
    if not complete.exists():
        tfds.disable_progress_bar()
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads
                builder.download_and_prepare()
        except Exception:  # another process may have put it there meanwhile
            if not complete.exists():
                raise
    return folder
