"""Command lines that are wrong in one thing each, made from the parsers and the annotations."""

import argparse
import importlib
import inspect
import itertools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import gin

from babeldraw.cli import main as cli
from babeldraw.cli.support.flags import Numeric, Parser
from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.ranges import Range, arms

GIVEN: dict[str, dict[str, str]] = {
    "quickstart_text_to_image": {"TOKENIZER_CHECKPOINT": "DIR/run"},
    "emoji_tokenizer_64": {},
    "coca_small": {},
    "super_resolution_small": {"TOKENIZER_CHECKPOINT": "DIR/run"},
}
"""Recipe -> what it has to be told. DIR is a folder that the test makes."""

REQUIRED = {
    "train": ["--gin_file=gin/runs/coca_small.gin", "--model_dir=DIR/run"],
    "plan": ["--gin_file=gin/runs/coca_small.gin", "--config=configs/v5e_16.py"],
    "sample": ["a cook", "--checkpoint=DIR/run"],
    "serve": ["--model=DIR/run"],
    "finetune": ["--from=DIR/run", "--data=folder:DIR"],
    "export": ["--checkpoint=DIR/run", "--output=DIR/exported"],
    "convert": ["--from=DIR/run", "--to=DIR/converted"],
    "t5x": ["train", "--gin_file=gin/t5x/pretrain.gin", "--model_dir=DIR/run"],
    "caption": ["--checkpoint=DIR/run", "--images=DIR"],
    "tokenize": ["--checkpoint=DIR/run", "--images=DIR", "--output=DIR/tokens.npz"],
    "tokenize-dataset": ["--checkpoint=DIR/run", "--task=emoji_32", "--output=DIR/tokens"],
    "evaluate": ["--checkpoint=DIR/run"],
    "probe": ["--checkpoint=DIR/run", "--class_feature=role"],
    "report": ["DIR/run"],
    "vocab": ["--task=emoji_32", "--output=DIR/vocabulary.model"],
    "quickstart": ["--output=DIR/quickstart"],
    "data build": ["emoji", "--output=DIR/emoji"],
    "data inspect": ["emoji_32", "--output=DIR/sheet.png"],
    "data prompts": ["quickstart", "--output=DIR/emoji.jsonl"],
    "data dedup": ["emoji_32", "--against=emoji_64"],
    "data pack": ["folder:DIR", "--output=DIR/packed"],
}
"""Command -> arguments that make it right, as far as arguments go."""


class Line(NamedTuple):
    """A wrong command line, and what its sentence has to name."""

    arguments: tuple[str, ...]
    named: str


def lines() -> list[Line]:
    """All of them, always the same."""
    return [*_wrong_flags(), *_missing(), *_unwritable(), *_wrong_values(), *FILES]


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for name in cli.SUBCOMMANDS:
        parser = Parser(prog=name)
        importlib.import_module(f"babeldraw.cli.{name.replace('-', '_')}").add_arguments(parser)
        inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not inner:
            yield name, parser
        for action in inner:
            yield from ((f"{name} {each}", sub) for each, sub in action.choices.items())


def _line(command: str, *more: str, without: str = "\0", named: str) -> Line:
    kept = [word for word in REQUIRED.get(command, []) if not word.startswith(without)]
    return Line((*command.split(), *kept, *more), named)


def _wrong_flags() -> Iterator[Line]:
    for command, parser in _parsers():
        yield _line(command, "--no_such_flag=1", named="--no_such_flag")
        for action in parser._actions:
            flag = (action.option_strings or [""])[0]
            if isinstance(action.type, Numeric):
                for value in wrong_numbers(action.type.kind):
                    yield _line(command, f"{flag}={value}", named=f"{flag} is")
            elif action.choices and flag:
                yield _line(command, f"{flag}=nonsense", named=flag)


def _missing() -> Iterator[Line]:
    for command, parser in _parsers():
        for action in parser._actions:
            if action.required and action.option_strings:
                flag = action.option_strings[0]
                yield _line(command, without=flag, named=flag)


def _unwritable() -> Iterator[Line]:
    for command, parser in _parsers():
        flags = {flag for action in parser._actions for flag in action.option_strings}
        for flag in sorted(flags & {"--output", "--model_dir"} - {"--help"}):
            if command == "doctor":  # which is there to say so
                continue
            under = f"{flag}=DIR/file/x.png"
            yield _line(command, under, without=flag, named=f"{flag} ")
    yield _line("vocab", "--output=DIR", without="--output", named="--output")
    yield _line("tokenize", "--output=DIR", without="--output", named="--output")
    yield _line("plan", "--schedule=DIR", named="--schedule")


def _wrong_values() -> Iterator[Line]:
    """`--gin.module.configurable.parameter=VALUE` of every parameter with a type."""
    seen: set[str] = set()
    for recipe in GIVEN:
        file = f"gin/runs/{recipe}.gin"
        own = [f"{name}={value}" for name, value in GIVEN[recipe].items()]
        parse_gin([file], ["MODEL_DIR=DIR/run", *own])
        selectors = {selector for _, selector in gin.config._CONFIG if selector != "gin.macro"}
        for selector in sorted(selectors):
            if not selector.startswith("babeldraw."):
                continue
            signature = inspect.signature(gin.config._REGISTRY[selector].wrapped)
            for name, parameter in signature.parameters.items():
                parameter_name = f"{'.'.join(selector.split('.')[-2:])}.{name}"
                if parameter_name in seen or name in ("parent", "machine", "name"):
                    continue
                seen.add(parameter_name)
                for value in itertools.islice(wrong_values(parameter.annotation), 2):
                    bindings = [f"--gin.{text}" for text in (*own, f"{parameter_name}={value}")]
                    start = ("train", f"--gin_file={file}", "--model_dir=DIR/run")
                    yield Line((*start, *bindings), f"{parameter_name} is")


def wrong_values(kind: Any) -> Iterator[str]:
    """Gin values that are no `kind`, with the likeliest mistakes first."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    plain = [typing.get_args(arm)[0] if _annotated(arm) else arm for arm in arms(kind)]
    if kind is inspect.Parameter.empty or Any in plain:
        return iter(("'float31'", "3") if _annotated(kind) else ())
    if int in plain or float in plain:
        number = next(arm for arm in arms(kind) if arm is not types.NoneType)
        return iter([*wrong_numbers(number, 2), "'8'", "True", "[1]"])
    if str in plain:
        return iter(["5", "None"])
    if bool in plain:
        return iter(["3", "yes"])
    if origin is Literal:
        return iter(["nonsense", "7"])
    if origin is Mapping or getattr(origin, "__name__", "") == "Mapping":
        return iter(["{'text': 0, 'image': 32}", "{'text': 'a', 'image': 32}"])
    if arguments and typing.get_origin(arms(kind)[0]) is typing.get_origin(Callable[[], int]):
        return iter(["3"])
    if any(isinstance(arm, type) and arm is not types.NoneType for arm in arms(kind)):
        return iter(["3", "text"])
    return iter(())


def _annotated(kind: Any) -> bool:
    return typing.get_origin(kind) is Annotated


def wrong_numbers(kind: Any, most: int = 9) -> list[str]:
    """Texts of numbers out of the range of `kind`, and of what is no such number."""
    base = typing.get_args(kind)[0] if _annotated(kind) else kind
    ranges = [limit for limit in typing.get_args(kind)[1:] if isinstance(limit, Range)]
    candidates = ["nan", "-1", "0", "2", "1.5", str(2**31), "many"]
    found = []
    for text in candidates:
        value = float(text) if text not in ("many",) else float("nan")
        whole = base is int and value == value and value != int(value)
        out = any(not limit.holds(value) for limit in ranges)
        if value != value or whole or out:
            found.append(text)
    return found[:most]


def _trained(file: str, *more: str, named: str) -> Line:
    return Line(("train", f"--gin_file=DIR/{file}", "--model_dir=DIR/run", *more), named)


def _on(machine: str, named: str) -> Line:
    recipe = ("--gin_file=gin/runs/coca_small.gin", "--model_dir=DIR/run")
    return Line(("train", *recipe, f"--config=DIR/{machine}"), named)


FILES = (
    _trained("utf16.gin", named="UTF-8"),
    _trained("binary.gin", named="binary.gin"),
    _trained("circle.gin", named="includes"),
    _trained("itself.gin", named="includes"),
    _trained("lost.gin", named="nowhere.gin"),
    _trained("not_there.gin", named="not_there.gin"),
    _trained("folder", named="folder"),
    _on("raises.py", "raises.py:2"),
    _on("raises_inside.py", "raises_inside.py:2"),
    _on("exits.py", "exits.py"),
    _on("none.py", "returns None"),
    _on("text.py", "returns 'cpu'"),
    _on("no_function.py", "get_config"),
    _on("no_python.py", "no_python.py:1"),
    _on("utf16.py", "utf16.py"),
    _on("launch.py", "launch"),
    _on("hosts.py", "hosts"),
    _on("flags.py", "xla_flags"),
    _on("keep.py", "checkpoint_keep"),
    _on("remat.py", "remat"),
    _on("unknown.py", "checkpoint_evry"),
    _on("mesh.py", "mesh"),
    _on("fsdp.py", "fsdp"),
    Line(("sample", "", "--checkpoint=DIR/run"), "Prompt 1 is empty"),
    Line(("sample", "a \udcff cook", "--checkpoint=DIR/run"), "UTF-8"),
    Line(("sample", "--checkpoint=DIR/run"), "prompt"),
    Line(("sample", "a cook", "--checkpoint=DIR/run", "--and", "rain", "nan"), "--and"),
    Line(("sample", "a cook", "--checkpoint=DIR/nowhere"), "DIR/nowhere"),
    Line(("caption", "--checkpoint=DIR/nowhere", "--images=DIR"), "DIR/nowhere"),
    Line(("evaluate", "--checkpoint=DIR/nowhere"), "DIR/nowhere"),
    Line(("probe", "--checkpoint=DIR/nowhere"), "DIR/nowhere"),
    Line(("tokenize", "--checkpoint=DIR/run", "--decode=DIR/file", "--output=DIR/o"), "file"),
    Line(("tokenise",), "tokenize"),
    Line((), "no subcommand"),
)
CONFIG = (
    "from ml_collections import ConfigDict\n\n\ndef get_config():\n    return ConfigDict({%s})\n"
)
CONTENTS: dict[str, bytes] = {
    "file": b"",
    "utf16.gin": "TRAIN_STEPS = 1\n".encode("utf-16"),
    "binary.gin": b"\x00\x01\x02\n",
    "circle.gin": b"include 'DIR/circle_2.gin'\n",
    "circle_2.gin": b"include 'DIR/circle.gin'\n",
    "itself.gin": b"include 'DIR/itself.gin'\n",
    "lost.gin": b"include 'DIR/nowhere.gin'\n",
    "raises.py": b"def get_config():\n    return 1 / 0\n",
    "raises_inside.py": b"import json\njson.loads('{')\n",
    "exits.py": b"import sys\nsys.exit(0)\n",
    "none.py": b"def get_config():\n    return None\n",
    "text.py": b"def get_config():\n    return 'cpu'\n",
    "no_function.py": b"x = 1\n",
    "no_python.py": b"def get_config(:\n",
    "utf16.py": "x = 1\n".encode("utf-16"),
    "launch.py": (CONFIG % "'launch': 3.5").encode(),
    "hosts.py": (CONFIG % "'launch': {'hosts': 'four'}").encode(),
    "flags.py": (CONFIG % "'xla_flags': ['--a']").encode(),
    "keep.py": (CONFIG % "'checkpoint_keep': 0").encode(),
    "remat.py": (CONFIG % "'remat': 'some'").encode(),
    "unknown.py": (CONFIG % "'checkpoint_evry': 1").encode(),
    "mesh.py": (CONFIG % "'mesh': {'data': 'all'}").encode(),
    "fsdp.py": (CONFIG % "'fsdp': 1").encode(),
}
"""Files of DIR; `folder` and `run` are folders there."""
