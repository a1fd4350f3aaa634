"""The house rules that no linter knows: no circles of imports, size of files and classes, mixins that are shared."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support import REPO

PACKAGES = ("rmtui", "trainer")
FILE_LINES = 500
OWN_METHODS, ALL_METHODS = 40, 70


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of both packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((REPO / package).rglob("*.py")):
            name = ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Modules of the house that a module names in any import: at its head, in a function, for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(arrows.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(arrows):
        if name not in index:
            visit(name)
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = set(modules())
    arrows = {name: set(imported(tree, known)) - {name} for name, tree in modules().items()}
    assert circles(arrows) == []


def test_a_circle_is_found_whatever_the_kind_of_its_imports() -> None:
    texts = {
        "a": "from b import x",
        "b": "def late():\n    import c",
        "c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import y",
        "d": "import a",
    }
    arrows = {name: set(imported(ast.parse(text), set(texts))) for name, text in texts.items()}
    assert circles(arrows) == [["a", "b", "c"]]


def test_a_file_is_one_subject_of_at_most_500_lines() -> None:
    paths = [path for package in PACKAGES for path in (REPO / package).rglob("*.py")]
    longest = {str(path.relative_to(REPO)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: lines for name, lines in longest.items() if lines > FILE_LINES} == {}


Key = tuple[str, str]


@cache
def classes() -> dict[Key, ast.ClassDef]:
    return {
        (name, node.name): node
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def bases(key: Key) -> list[Key]:
    """Its bases that are classes of this house, found through the imports of its module."""
    module, _ = key
    names = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    written = [base.value if isinstance(base, ast.Subscript) else base for base in classes()[key].bases]
    found = [names.get(base.id, (module, base.id)) for base in written if isinstance(base, ast.Name)]
    return [base for base in found if base in classes()]


def methods(key: Key) -> set[str]:
    """Names of the methods of its own; a property and its setter are one."""
    return {node.name for node in classes()[key].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def lineage(key: Key) -> set[Key]:
    return {key}.union(*(lineage(base) for base in bases(key)))


def test_no_class_has_more_methods_than_a_reader_can_hold() -> None:
    own = {f"{module}.{name}": len(methods((module, name))) for module, name in classes()}
    whole = {f"{key[0]}.{key[1]}": len(set().union(*map(methods, lineage(key)))) for key in classes()}
    assert {name: count for name, count in own.items() if count > OWN_METHODS} == {}
    assert {name: count for name, count in whole.items() if count > ALL_METHODS} == {}


def test_a_class_name_means_one_thing() -> None:
    """Messages that stand inside their widget are told apart by it: `FilterLine.Changed`."""
    names = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                names[node.name].append(module)
    assert {name: found for name, found in names.items() if len(found) > 1} == {}


ANYTHING = re.compile(r"(?:dict|Dict|Mapping|MutableMapping)\[str, Any\]")
OPAQUE = 60
"""Signatures that may take or give what nobody typed: files of other programs, run folders of any version."""


def opaque_signatures() -> list[str]:
    """Functions with `dict[str, Any]` or `Mapping[str, Any]`, or an alias of one, among their parameters or returns."""
    aliases = {
        target.id
        for tree in modules().values()
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        and node.value is not None
        and ANYTHING.search(ast.unparse(node.value))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and isinstance(node.value, (ast.Subscript, ast.Constant))
    }
    named = re.compile("|".join([ANYTHING.pattern, *(rf"\b{alias}\b" for alias in sorted(aliases))]))
    found = []
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                every = [
                    *node.args.posonlyargs,
                    *node.args.args,
                    *node.args.kwonlyargs,
                    node.args.vararg,
                    node.args.kwarg,
                ]
                kinds = [one.annotation for one in every if one is not None] + [node.returns]
                if any(kind is not None and named.search(ast.unparse(kind)) for kind in kinds):
                    found.append(f"{module}.{node.name}")
    return found


def test_rooms_hand_typed_documents_to_each_other() -> None:
    found = opaque_signatures()
    assert len(found) <= OPAQUE, "\n".join(found)
    assert "trainer.config.build" in found  # a configuration as TOML holds it


def unfinished(key: Key) -> bool:
    """Whether a method of the class only raises NotImplementedError or is abstract."""
    text = ast.unparse(classes()[key])
    return "NotImplementedError" in text or "@abstractmethod" in text


def test_a_mixin_has_at_least_two_users() -> None:
    """A mixin stands beside another base, or is not whole by itself; one that a single class takes is
    a part of that class."""
    users: dict[Key, set[Key]] = defaultdict(set)
    for key in classes():
        for base in bases(key):
            users[base].add(key)
    beside = {base for key in classes() if len(classes()[key].bases) > 1 for base in bases(key)}
    mixed = beside | {key for key in users if unfinished(key)}
    assert sorted(f"{module}.{name}" for module, name in mixed if len(users[module, name]) < 2) == []


HEAVY_ROOMS = ("trainer.data", "trainer.model", "trainer.loop", "trainer.release")
TORCH = {"torch", "transformers", "peft", "accelerate", "numpy", "safetensors", "tokenizers"}


@pytest.mark.parametrize("path", sorted((REPO / "trainer").glob("*.py")), ids=lambda path: path.stem)
def test_what_stands_at_the_trainers_top_imports_no_torch(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert {name for name in named if name.partition(".")[0] in TORCH} == set()
    if path.stem != "__main__":  # the program's door opens the heavy rooms, inside its functions
        assert {name for name in named if name.startswith(HEAVY_ROOMS)} == set()
