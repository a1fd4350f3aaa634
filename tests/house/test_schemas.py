"""What `--json` prints is what docs/schema says, for every document that scripts may rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import make_run_folder, make_workspace

from rmtui.workspace import Workspace

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schema"
PAIRS = [{"prompt": f"Question {n}?", "chosen": f"A true answer, {n}.", "rejected": f"No idea {n}"} for n in range(30)]


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = make_workspace(tmp_path_factory.mktemp("schemas"))
    make_run_folder(ws, "one", run_id="20260101-000000-aaaa")
    make_run_folder(ws, "two", run_id="20260102-000000-bbbb", outcome="failed", reason="ValueError", created=1.77e9)
    lines = [*map(json.dumps, PAIRS), '{"prompt": "x"}']
    (ws.root / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return ws


def printed(ws: Workspace, *argv: str) -> Any:
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ws.root)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("schema", "argv"),
    [
        ("show", ("show", "one", "--json")),
        ("ls", ("ls", "--json")),
        ("export", ("export", "one", "--format", "json")),
        ("export", ("export", "one", "two", "--format", "json")),
        ("advise", ("advise", "one", "--json")),
        ("compare", ("compare", "one", "two", "--json")),
        ("check", ("check", "pairs.jsonl", "--json")),
        ("presets", ("presets", "--json")),
        ("presets", ("presets", "A", "--json")),
        ("doctor", ("doctor", "--json")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:1]),
)
def test_a_document_keeps_to_its_schema(ws: Workspace, schema: str, argv: tuple[str, ...]) -> None:
    document = printed(ws, *argv)
    validator = jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text()))
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]
    assert problems == []


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_one(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
