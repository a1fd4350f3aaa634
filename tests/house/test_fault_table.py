"""The table of faults names tests that exist, and every test of the fault suite."""

from __future__ import annotations

import re

from support import REPO

TESTS = REPO / "tests"
NAMED = re.findall(r"`([\w/]+)::(\w+)`", (TESTS / "faults" / "README.md").read_text())


def defined(path: str) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", (TESTS / path).read_text(), re.MULTILINE))


def test_each_test_that_the_table_names_exists() -> None:
    files = [(file if "/" in file else f"faults/{file}", test) for file, test in NAMED]
    assert len(files) > 50
    missing = [f"{file}::{test}" for file, test in files if test not in defined(f"{file}.py")]
    assert not missing, missing


def test_each_test_of_the_fault_suite_is_in_the_table() -> None:
    files = [*(TESTS / "faults").glob("test_*.py"), *(TESTS / "slurm").glob("test_*.py")]
    ours = [
        path for path in files if path.parent.name == "faults" or "pytestmark = pytest.mark.faults" in path.read_text()
    ]
    suite = set().union(*(defined(f"{path.parent.name}/{path.name}") for path in ours))
    assert suite <= {test for _, test in NAMED}, suite - {test for _, test in NAMED}
