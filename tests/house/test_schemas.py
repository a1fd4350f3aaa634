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

from rmtui.records import tickets
from rmtui.workspace import Workspace
from trainer.pairs import Row, read_rows

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schema"
PAIRS = [{"prompt": f"Question {n}?", "chosen": f"A true answer, {n}.", "rejected": f"No idea {n}"} for n in range(30)]


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = make_workspace(tmp_path_factory.mktemp("schemas"))
    make_run_folder(ws, "one", run_id="20260101-000000-aaaa")
    make_run_folder(ws, "two", run_id="20260102-000000-bbbb", outcome="failed", reason="ValueError", created=1.77e9)
    lines = [*map(json.dumps, PAIRS), '{"prompt": "x"}']
    (ws.root / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    add_scored_run(ws)
    waiting = make_run_folder(ws, "waiting", run_id="20260104-000000-dddd", outcome=None, events=[])
    tickets.add(ws.queue, waiting.id, 2, tickets.Needs())
    return ws


def add_scored_run(ws: Workspace) -> None:
    """`scored`: its validation pairs are in the workspace, with a reward for each side."""
    path = ws.data / "val" / "helpful_pairs.jsonl"
    path.write_text("".join(json.dumps(pair | {"source": "made"}) + "\n" for pair in PAIRS))
    folder = make_run_folder(ws, "scored", run_id="20260103-000000-cccc", fingerprints={})
    (folder.path / "validation").mkdir()
    rows = [row for row in read_rows(path) if isinstance(row, Row)]
    lines = [{"id": row.id, "chosen": place % 3 - 1.0, "rejected": 0.0} for place, row in enumerate(rows)]
    (folder.path / "validation" / "epoch-3.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def printed(ws: Workspace, *argv: str) -> Any:
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ws.root)
    assert done.stdout, done.stderr
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
        ("queue", ("queue", "--json")),
        ("pairs", ("pairs", "scored", "--json")),
        ("pairs", ("pairs", "scored", "--by", "source", "--json")),
        ("plan", ("launch", "A", "--data", "helpful", "--model", "nowhere", "--dry-run", "--json")),
        ("plan", ("launch", "A", "B", "--dry-run", "--json")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:1]),
)
def test_a_document_keeps_to_its_schema(ws: Workspace, schema: str, argv: tuple[str, ...]) -> None:
    document = printed(ws, *argv)
    validator = jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text()))
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]
    assert problems == []


def test_the_documents_are_not_empty_where_there_is_something_to_say(ws: Workspace) -> None:
    assert [place["name"] for place in printed(ws, "queue", "--json")] == ["waiting"]
    wrong = printed(ws, "pairs", "scored", "--kind", "wrong", "--json")
    assert (wrong["count"], wrong["pairs_scored"]) == (10, 30)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_one(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
