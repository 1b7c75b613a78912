"""The rooms of the house, what each imports, and the rules for it.

    python -m docs.rooms           # files, lines and imports of each room
    python -m docs.rooms --write   # draws the marked section of docs/design.md again

A room is a folder of babeldraw/, or a file that stands in no folder of it. Imports are read from
the source: those inside functions and those for types alone count, too. What importlib gets by name
(the subcommands in cli/main.py, the old names in moved.py) cannot be seen there.
"""

import argparse
import ast
import graphlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/design.md"
BEGIN, END = "<!-- rooms:begin -->", "<!-- rooms:end -->"

HOUSE = "babeldraw"
FLOORS = (
    *("benchmarks", "launch", "cli", "serving", "api.py", "cli/support", "exporting", "planning"),
    *(
        "t5x_models",
        "evaluation",
        "training",
        "objectives",
        "sampling",
        "weights",
        "models",
        "optimizers",
    ),
    *("data", "parallel", "files.py", "__init__.py", "moved.py", "quiet.py", "lettering.py"),
    *("pieces.py", "sizes.py", "ranges.py", "errors.py"),
)
"""From the top down. The inner rooms of a room that are not named are on its floor."""


class Import(NamedTuple):
    """One import statement's one name."""

    importer: str
    """Module, such as "babeldraw.cli.main"."""
    imported: str
    """A module of ours, or what the statement names of anybody else's, such as "gin.config"."""
    for_types: bool = False
    """Whether it stands under TYPE_CHECKING, and so is not run."""


def read_modules(root: Path = ROOT) -> dict[str, Path]:
    """Module -> its file, of the library and of what stands on it."""
    found = {}
    for package in (HOUSE, "benchmarks", "launch"):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(modules: dict[str, Path]) -> list[Import]:
    """All imports of all modules.

    Raises:
      ValueError: one is relative; ours are not.
    """
    found = []
    for module, path in modules.items():
        for name, for_types in _names(ast.parse(path.read_text()), path):
            ours = name
            while ours and ours not in modules:  # the name may be of something inside a module
                ours = ours.rpartition(".")[0]
            found.append(Import(module, ours or name, for_types))
    return found


def _names(node: ast.AST, path: Path, for_types: bool = False) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, for_types) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.level:
                raise ValueError(f"{path}:{child.lineno}: write the import in full")
            yield from ((f"{child.module}.{alias.name}", for_types) for alias in child.names)
        else:
            guarded = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from _names(child, path, for_types or guarded)


def room(module: str, modules: dict[str, Path], root: Path = ROOT) -> str:
    """The room that a module of ours stands in, such as "training/keeping" or "files.py"."""
    package, *inside = modules[module].relative_to(root).parts
    if package != HOUSE:
        return package
    return "/".join(inside[:-1]) or inside[0]


def floor(name: str) -> str:
    """The entry of `FLOORS` that a room is on: its own, or that of the room around it.

    Raises:
      ValueError: there is none.
    """
    while name not in FLOORS:
        if "/" not in name:
            raise ValueError(f"FLOORS of docs/rooms.py does not say where {name} stands")
        name = name.rpartition("/")[0]
    return name


def _of(imported: str, *names: str) -> bool:
    return any(f"{imported}.".startswith(f"{name}.") for name in names)


def _points_up(each: Import, above: str, below: str) -> bool:
    return bool(below) and FLOORS.index(floor(below)) < FLOORS.index(floor(above))


def _model_in_data(each: Import, above: str, below: str) -> bool:
    return _of(above.replace("/", "."), "data") and below in ("models", "objectives", "weights")


def _model_in_training(each: Import, above: str, below: str) -> bool:
    return floor(above) == "training" and below in ("models", "sampling", "data", "weights")


def _gin_in_library(each: Import, above: str, below: str) -> bool:
    library = floor(above) not in ("benchmarks", "launch", "cli", "cli/support")
    return library and _of(each.imported, "gin", "absl.flags")


def _tensorflow(each: Import, above: str, below: str) -> bool:
    names = ("tensorflow", "tensorflow_datasets", "tensorflow_text", "seqio")
    elsewhere = each.importer.startswith(HOUSE) and floor(above) != "data"
    return elsewhere and not each.for_types and _of(each.imported, *names)


def _subcommand(each: Import, above: str, below: str) -> bool:
    return above == below == "cli"


RULES: dict[str, Callable[[Import, str, str], bool]] = {
    "An import points down the list of rooms, never up.": _points_up,
    "`data/` imports no model: no network, no objective, no weights.": _model_in_data,
    "`training/` knows no model and no data: objective and datasets are given to it.": (
        _model_in_training
    ),
    "`cli/` alone reads recipes: the rest of the library imports neither gin nor absl flags.": (
        _gin_in_library
    ),
    "TensorFlow and seqio are imported in `data/` alone (elsewhere for types).": _tensorflow,
    "A subcommand imports no other; what two of them need is in `cli/support/`.": _subcommand,
}
"""Sentence -> whether an import from the first room breaks it; the second is "" for what is none of
ours."""
NO_CIRCLE = "No file imports itself by way of others, imports inside functions included."


def faults(modules: dict[str, Path], imports: Iterable[Import], root: Path = ROOT) -> list[str]:
    """A line for each import that breaks a rule: who, whom, and the rule."""
    imports = list(imports)
    lines = []
    for each in imports:
        above = room(each.importer, modules, root)
        below = room(each.imported, modules, root) if each.imported in modules else ""
        lines += [
            f"{each.importer} imports {each.imported}. {rule}"
            for rule, is_broken in RULES.items()
            if is_broken(each, above, below)
        ]
    try:
        graphlib.TopologicalSorter(_graph(modules, imports)).prepare()
    except graphlib.CycleError as error:
        lines.append(f"{' <- '.join(error.args[1])}. {NO_CIRCLE}")
    return lines


def _graph(modules: dict[str, Path], imports: Iterable[Import]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for each in imports:
        if each.imported in modules and each.imported != each.importer:
            graph[each.importer].add(each.imported)
    return graph


def room_imports(modules: dict[str, Path], imports: Iterable[Import]) -> Counter[tuple[str, str]]:
    """How many imports lead from one room to another."""
    pairs = (
        (room(each.importer, modules), room(each.imported, modules))
        for each in imports
        if each.imported in modules
    )
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def in_order(modules: dict[str, Path]) -> list[str]:
    """All rooms from the top down, inner rooms after the one around them."""
    names = {room(module, modules) for module in modules}
    return sorted(names, key=lambda name: (FLOORS.index(floor(name)), name))


def purpose(name: str) -> str:
    """The first sentence of a room's docstring."""
    folder = ROOT / (name if name in ("benchmarks", "launch") else f"{HOUSE}/{name}")
    path = folder if folder.suffix else folder / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def section() -> str:
    """What stands between the markers: the table, the sketch and the rules."""
    modules = read_modules()
    pairs = room_imports(modules, read_imports(modules))
    rows = ["| room | what it is for | imports |", "|---|---|---|"]
    order = in_order(modules)
    for name in order:
        imported = ", ".join(f"`{other}`" for other in order if (name, other) in pairs)
        rows.append(f"| `{name}` | {purpose(name)} | {imported} |")
    rules = [f"- {rule}" for rule in (*RULES, NO_CIRCLE)]
    return "\n".join([*rows, "", *sketch(pairs), "", *rules])


def sketch(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Mermaid: the floors, without the arrows that follow from others."""
    arrows = {(floor(above), floor(below)) for above, below in pairs}
    arrows = {(above, below) for above, below in arrows if above != below}
    reach: dict[str, set[str]] = {}
    for name in reversed(FLOORS):  # those below are done
        direct = {below for above, below in arrows if above == name}
        reach[name] = direct.union(*(reach.get(below, set()) for below in direct))
    kept = [
        (above, below)
        for above, below in arrows
        if not any(below in reach[other] for first, other in arrows if first == above)
    ]
    kept.sort(key=lambda arrow: tuple(map(FLOORS.index, arrow)))
    lines = [f"  {_node(above)} --> {_node(below)}" for above, below in kept]
    return ["```mermaid", "graph TD", *lines, "```"]


def _node(name: str) -> str:
    """An identifier, and the label where that is another."""
    identifier = name.replace("/", "_").replace(".", "_").strip("_")
    return identifier if identifier == name else f'{identifier}["{name}"]'


def insert(text: str, new: str) -> str:
    """`text` with `new` between the markers.

    Raises:
      ValueError: the markers are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def figures() -> str:
    """Files, lines and imports of each room, as they are now."""
    modules = read_modules()
    pairs = room_imports(modules, read_imports(modules))
    files = Counter(room(module, modules) for module in modules)
    lines: Counter[str] = Counter()
    for module, path in modules.items():
        lines[room(module, modules)] += len(path.read_text().splitlines())
    order = in_order(modules)
    rows = [f"{'room':20} files  lines  imports of other rooms"]
    for name in order:
        imported = [f"{other} {pairs[name, other]}" for other in order if (name, other) in pairs]
        rows.append(f"{name:20} {files[name]:5} {lines[name]:6}  {', '.join(imported)}")
    rows.append(f"{'all':20} {files.total():5} {lines.total():6}")
    return "\n".join(rows)


def main() -> None:
    """Prints the figures, or writes the section."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}'s section")
    if parser.parse_args().write:
        PAGE.write_text(insert(PAGE.read_text(), section()))
    else:
        print(figures())


if __name__ == "__main__":
    main()
