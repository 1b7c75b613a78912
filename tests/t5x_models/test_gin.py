"""Contract: gin/t5x is gin, and what it binds of ours exists; that T5X has the rest needs T5X."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
from gin import config_parser

FILES = ("pretrain", "finetune", "eval", "infer", "common")
ROOM = Path("babeldraw/t5x_models")


class Text(config_parser.ParserDelegate):
    """Values as they are written."""

    def configurable_reference(self, name, evaluate):
        return f"@{name}"

    def macro(self, name):
        return f"%{name}"


def statements(name):
    return list(config_parser.ConfigParser(Path(f"gin/t5x/{name}.gin").read_text(), Text()))


def of(kind, parsed):
    return [one for one in parsed if isinstance(one, kind)]


def signatures():
    """module.name -> the arguments that it takes, of our room, read and not imported."""
    found = {}
    for path in ROOM.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                inits = [n for n in node.body if getattr(n, "name", "") == "__init__"]
                made = inits[0].args if inits else None
            elif isinstance(node, ast.FunctionDef):
                made = node.args
            else:
                continue
            if made is not None:
                names = {a.arg for a in (*made.args, *made.kwonlyargs)}
                found[f"babeldraw.t5x_models.{path.stem}.{node.name}"] = names
    return found


@pytest.mark.parametrize("name", FILES)
def test_what_is_bound_of_ours_exists(name):
    parsed = statements(name)
    imports = {}
    for one in of(config_parser.ImportStatement, parsed):
        alias = one.alias or one.module.rpartition(".")[2]
        imports[alias] = one.module
        if one.module.startswith("babeldraw."):
            assert importlib.util.find_spec(one.module), one.module
    for one in of(config_parser.IncludeStatement, parsed):
        assert Path(one.filename).exists()
    ours = signatures()
    bound = 0
    for one in of(config_parser.BindingStatement, parsed):
        module, _, last = one.selector.rpartition(".")
        if imports.get(module, "").startswith("babeldraw.t5x_models."):
            assert one.arg_name in ours[f"{imports[module]}.{last}"], one
            bound += 1
        referred = re.findall(r"@(?:\w+/)?(\w+)\.(\w+)", str(one.value))
        for alias, last in referred:
            assert alias in imports, one
            if imports[alias].startswith("babeldraw.t5x_models."):
                path = ROOM / f"{imports[alias].rpartition('.')[2]}.py"
                assert re.search(rf"^(class|def) {last}\b", path.read_text(), re.M), one
    assert bound or name in ("finetune", "eval", "infer")


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_it_costs(name):
    text = Path(f"gin/t5x/{name}.gin").read_text()
    head = "".join(line for line in text.splitlines() if line.startswith("#"))
    assert name == "common" or ("Cost" in head and "esult" in head and "Command" in head)
    # What T5X's own files call required is required here, too.
    for macro in re.findall(r"^(\w+) = %gin.REQUIRED", text, re.M):
        assert macro in head or name == "common", macro
