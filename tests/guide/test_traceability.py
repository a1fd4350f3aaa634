"""docs/guide.md maps statements to code and tests; both exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import REPO, resolves

PAGE = (REPO / "docs" / "guide.md").read_text(encoding="utf-8")


def rows() -> Iterator[tuple[str, list[str], list[str]]]:
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and re.search(r"`\w+/test_", cells[2]):
            yield cells[0], re.findall(r"`([\w.]+)`", cells[1]), re.findall(r"`(\w+/test_[\w.]+)`", cells[2])


ROWS = list(rows())


def test_no_row_of_a_table_of_statements_is_left_out():
    """Every row under a head that ends in `code | test` is read: none escapes by a slip of its spelling."""
    tables, wanted = False, 0
    for line in PAGE.splitlines():
        if line.endswith("| code | test |"):
            tables = True
        elif not line.startswith("|"):
            tables = False
        elif tables and not line.startswith("|---"):
            wanted += 1
    assert len(ROWS) == wanted > 40


def test_every_reading_advice_preset_step_and_path_has_its_row():
    statements = " ".join(statement for statement, _, _ in ROWS)
    assert len(ROWS) > 40
    assert all(f"{number}. " in statements for number in range(1, 8))


@pytest.mark.parametrize(("statement", "code", "tests"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_a_row_names_code_and_tests_that_exist(statement, code, tests):
    assert code and tests, statement
    for name in code:
        assert resolves(name), f"{name} is nowhere"
    for name in tests:
        module, _, function = name.partition(".")
        tree = ast.parse((REPO / "tests" / Path(module).with_suffix(".py")).read_text(encoding="utf-8"))
        assert function in {
            node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
