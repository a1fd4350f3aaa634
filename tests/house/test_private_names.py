"""Tests assert what a user or a caller sees: few of them reach for a name that begins with an underscore."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from support import REPO

MOST = 30
PRIVATE = re.compile(r"_[a-z]\w*")
OWN = {"self", "cls", "os", "sys"}
"""Whose private names are a test's own, or documented (`os._exit`, `sys._getframe`)."""
PUBLIC = {"_replace", "_asdict", "_fields", "_make"}
"""A named tuple's, which have the underscore only to stay out of its fields' way."""
PATH = re.compile(r"(rmtui|trainer)(\.\w+)*\._[a-z]\w*")


def reached_for(tree: ast.AST) -> Iterator[str]:
    """Private names of others: `it._name`, `from it import _name`, and both kinds of monkeypatch's addresses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in OWN
            if PRIVATE.fullmatch(node.attr) and node.attr not in PUBLIC and not own:
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if PRIVATE.fullmatch(alias.name))
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and PATH.fullmatch(node.value):
                yield node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr", "delattr")):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from (text for text in texts if isinstance(text, str) and PRIVATE.fullmatch(text))


def test_each_way_to_a_private_name_is_counted() -> None:
    text = """
from it import _a
it._b
it.of()._c
monkeypatch.setattr("rmtui.it._d", 1)
monkeypatch.setattr(it, "_e", 1)
self._own, it._replace(x=1), os._exit(0), it.__dict__, "_text"
"""
    assert sorted(reached_for(ast.parse(text))) == ["_a", "_e", "it._b", "it.of()._c", "rmtui.it._d"]


def test_tests_reach_for_few_private_names() -> None:
    found = [
        f"{path.relative_to(REPO)}: {name}"
        for path in sorted((REPO / "tests").rglob("*.py"))
        for name in reached_for(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(found) <= MOST, "assert on what is seen, or make the name public:\n" + "\n".join(found)
