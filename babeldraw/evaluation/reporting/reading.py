"""A run directory as the page needs it: read as foreign data, whatever is missing or damaged.

Nothing is run, no settings class is made, and no file outside the directory is opened.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.evaluation.reporting.files_of_run import json_of, lines_of, text_of
from babeldraw.training.watching.panels import Series, parse_records, series_of

KINDS = {
    "Tokenizer": "tokenizer",
    "TextToImage": "text_to_image",
    "ImageTokens": "image_tokens",
    "SuperResolution": "super_resolution",
    "ContrastiveCaptioner": "coca",
    "DecoderFinetune": "decoder_finetune",
    "TextEncoding": "text_encoder",
    "TextEncodingOnTokens": "text_encoder",
}
"""Class of the objective -> kind of run."""

_MACRO = re.compile(r"^([A-Z][A-Z0-9_]*) = (.+)$", re.MULTILINE)
_CHANGED = re.compile(r"config-until-(\d+)(?:-\d+)?\.gin")


@dataclasses.dataclass(frozen=True)
class Change:
    """A run went on with another recipe after this step; `lines` with - and + say how."""

    step: int
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Raised:
    """An alarm, as it was last worded, and the steps at which it was first and last raised."""

    kind: str
    message: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Run:
    """What the files of a run directory say.

    Attributes:
      directory: as it was given.
      label: short, of its own among the runs of a page.
      kind: a value of `KINDS`, or "run" for an objective that is not known here.
      settings: of settings.json; empty where there is none.
      macros: of config.gin, each as it is written there.
      machine, manifest: of machine.json and manifest.json.
      starts: of starts.jsonl, one each time that the run was started.
      alarms: of alarms.jsonl, one of each kind.
      records: of metrics.jsonl.
      changes: in order.
      checkpoint: step of the latest one, if any.
      parameters: how many the networks have, as model-info.txt says; "" where it does not.
    """

    directory: str
    label: str
    kind: str
    settings: Mapping[str, Any]
    macros: Mapping[str, str]
    machine: Mapping[str, Any]
    manifest: Mapping[str, Any]
    starts: Sequence[Mapping[str, Any]]
    alarms: Sequence[Raised]
    records: Sequence[Mapping[str, Any]]
    changes: Sequence[Change]
    checkpoint: int | None
    parameters: str

    @functools.cached_property
    def series(self) -> Series:
        """Metric -> split -> points."""
        return series_of(self.records)

    @property
    def step(self) -> int:
        """The last one that is recorded; 0 where none is."""
        return max((record["step"] for record in self.records), default=0)

    @property
    def train_steps(self) -> int | None:
        """The last one to be taken, if that is known."""
        return whole(self.macros.get("TRAIN_STEPS")) or None

    def setting(self, *names: str) -> Any:
        """A value inside the settings; None where it is not there."""
        found: Any = self.settings
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def last(self, metric: str, split: str = "eval") -> float | None:
        """The latest value of a metric."""
        points = self.series.get(metric, {}).get(split)
        return points[-1][1] if points else None


def read(name: str, label: str = "") -> Run:
    """A run, local or in a bucket; it may be going on, or have been killed.

    Raises:
      UserError: there is no such directory, or it is no run's, or it cannot be listed.
    """
    directory = files.path(name)
    names = files.names_in(name)
    if names is None or not {"config.gin", "settings.json", "metrics.jsonl"} & set(names):
        what = "there is no such folder" if names is None else "it has no config.gin"
        raise UserError(
            f"{name} is not a run directory ({what}); give the --model_dir of a `babeldraw train` "
            "run, or a folder of such runs."
        )
    settings = json_of(directory / "settings.json")
    config = text_of(directory / "config.gin")
    steps = [
        int(each) for each in files.names_in(directory / "checkpoints") or [] if each.isdigit()
    ]
    return Run(
        directory=name,
        label=label or directory.name or name,
        kind=_kind(settings, config),
        settings=settings,
        macros=dict(_MACRO.findall(config)),
        machine=json_of(directory / "machine.json"),
        manifest=json_of(directory / "manifest.json"),
        starts=lines_of(directory / "starts.jsonl"),
        alarms=_alarms(directory),
        records=parse_records(text_of(directory / "metrics.jsonl")),
        changes=_changes(directory, names, config),
        checkpoint=max(steps, default=None),
        parameters=_parameters(text_of(directory / "model-info.txt")),
    )


def read_all(names: Sequence[str]) -> list[Run]:
    """The runs of these directories; of one that is no run but has some inside, those.

    Raises:
      UserError: as `read`.
    """
    found = [inside for name in names for inside in _inside(name)]
    short = [files.path(name).name for name in found]
    labels = short if len(set(short)) == len(short) else _longer(found)
    return [read(name, label) for name, label in zip(found, labels, strict=True)]


def whole(value: Any) -> int:
    """Of a number as a recipe writes it; 0 where it is none."""
    found = re.fullmatch(r"\d{1,15}", str(value))
    return int(found.group()) if found else 0


def _inside(name: str) -> list[str]:
    """The stages' names are in the order in which they are trained."""
    names = files.names_in(name) or []
    if not {"config.gin", "settings.json", "metrics.jsonl"} & set(names):
        stages = ("tokenizer", "decoder", "text_to_image", "image_tokens", "super_resolution")
        order = [*(each for each in stages if each in names), *sorted({*names} - {*stages})]
        folder = name.rstrip("/")
        inside = [f"{folder}/{each}" for each in order if _is_run(f"{folder}/{each}")]
        if inside:
            return inside
    return [name]


def _is_run(name: str) -> bool:
    return any((files.path(name) / file).exists() for file in ("config.gin", "settings.json"))


def _longer(names: Sequence[str]) -> list[str]:
    """Labels with the folder before; with numbers where these are the same, too."""
    labels = ["/".join(files.path(name).parts[-2:]) for name in names]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} ({number})" for number, label in enumerate(labels, 1)]


def _kind(settings: Mapping[str, Any], config: str) -> str:
    """By the settings; of a run from before there were any, by the recipe's text."""
    objective = settings.get("objective")
    name = str(objective.get("class")) if isinstance(objective, Mapping) else ""
    if not name:
        bound = re.search(r"^loop\.train\.objective = @([\w.]+)\(\)", config, re.MULTILINE)
        name = bound.group(1) if bound else ""
    return KINDS.get(re.split(r"[.:]", name)[-1], "run")


def _alarms(directory: epath.Path) -> list[Raised]:
    found: dict[str, Raised] = {}
    for record in lines_of(directory / "alarms.jsonl"):
        kind, message, step = (record.get(name) for name in ("kind", "message", "step"))
        if isinstance(kind, str) and isinstance(message, str) and isinstance(step, int):
            first = found[kind].first if kind in found else step
            found[kind] = Raised(kind, message, first, step)
    return list(found.values())


def _changes(directory: epath.Path, names: Sequence[str], config: str) -> list[Change]:
    matches = [match for match in map(_CHANGED.fullmatch, names) if match]
    older = sorted(matches, key=lambda match: (int(match.group(1)), match.group()))
    texts = [text_of(directory / match.group()) for match in older]
    changes = []
    for match, before, after in zip(older, texts, [*texts[1:], config], strict=False):
        old, new = dict(_MACRO.findall(before)), dict(_MACRO.findall(after))
        lines = [
            f"{name}: {old.get(name, 'not set')} -> {new.get(name, 'not set')}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name) and name != "MODEL_DIR"
        ]
        changes.append(Change(int(match.group(1)), lines))
    return changes


def _parameters(info: str) -> str:
    found = re.search(r"^total parameters: ([\d,]+)$", info, re.MULTILINE)
    return found.group(1) if found else ""
