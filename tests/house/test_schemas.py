"""What `--json` prints is what docs/schema says, for every document that scripts may rely on."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import config, make_run_folder, make_workspace

from rmtui.cli import parser
from rmtui.documents.data import PairsDocument
from rmtui.documents.scalars import STATES
from rmtui.guide.pair_kinds import IN_JSON, KINDS, JsonKind, Kind
from rmtui.runs import queue_tickets
from rmtui.runs.model import State
from rmtui.workspace import Workspace
from trainer.house import read_made
from trainer.pairs import Row, content_hash, fingerprint, read_rows

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schema"
PAIRS = [{"prompt": f"Question {n}?", "chosen": f"A true answer, {n}.", "rejected": f"No idea {n}"} for n in range(30)]
FIRST = content_hash(read_made(dict(PAIRS[0]), 1))


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = make_workspace(tmp_path_factory.mktemp("schemas"))
    make_run_folder(ws, "one", run_id="20260101-000000-aaaa")
    make_run_folder(ws, "two", run_id="20260102-000000-bbbb", outcome="failed", reason="ValueError", created=1.77e9)
    lines = [*map(json.dumps, PAIRS), '{"prompt": "x"}']
    (ws.root / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (ws.root / "old.log").write_text("Epoch 1: train_loss=0.9, val_loss=0.6, val_acc=70%\n")
    (ws.root / "rm_config.yaml").write_text("num_epochs: 2\nproject: x\n")
    add_scored_run(ws, "scored", "20260103-000000-cccc")
    (ws.data / "train" / "helpful_pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    half = config(data={"train": "", "source": [f"data/train/helpful_pairs.jsonl;limit={len(PAIRS) // 2}"]})
    add_scored_run(ws, "second", "20260103-000001-eeee", half)
    waiting = make_run_folder(ws, "waiting", run_id="20260104-000000-dddd", outcome=None, events=[])
    queue_tickets.add(ws.queue, waiting.id, 2, queue_tickets.Needs())
    return ws


def add_scored_run(ws: Workspace, name: str, run_id: str, settings: dict[str, Any] | None = None) -> None:
    """Its validation pairs are in the workspace, with a reward for each side."""
    path = ws.data / "val" / "helpful_pairs.jsonl"
    path.write_text("".join(json.dumps(pair | {"source": "made"}) + "\n" for pair in PAIRS))
    marks = {"val": fingerprint(path)}
    folder = make_run_folder(ws, name, run_id=run_id, fingerprints=marks, config=settings or config())
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
        ("compare", ("compare", "scored", "second", "--json")),
        ("check", ("check", "pairs.jsonl", "--json")),
        ("floors", ("floors", "data/val/helpful_pairs.jsonl", "data/val/helpful_pairs.jsonl", "--json")),
        ("learning-curve", ("learning-curve", "scored", "--json")),
        ("suspects", ("suspects", "data/val/helpful_pairs.jsonl", "--json")),
        ("relabel", ("relabel", "data/val/helpful_pairs.jsonl", "--flip", FIRST, "--out", "new.jsonl", "--json")),
        ("convert", ("convert", "data/val/helpful_pairs.jsonl", "plain.jsonl", "--json")),
        ("presets", ("presets", "--json")),
        ("presets", ("presets", "A", "--json")),
        ("presets", ("presets", "--options", "--json")),
        ("doctor", ("doctor", "--json")),
        ("queue", ("queue", "--json")),
        ("pairs", ("pairs", "scored", "--json")),
        ("pairs", ("pairs", "scored", "--by", "source", "--json")),
        ("plan", ("launch", "A", "--data", "helpful", "--model", "nowhere", "--dry-run", "--json")),
        ("plan", ("launch", "A", "B", "--dry-run", "--json")),
        ("launch", ("stop", "one", "--json")),
        ("import", ("import", "old.log", "--json")),
        ("import", ("import", "rm_config.yaml", "--as-preset", "mine", "--json")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:1]),
)
def test_a_document_keeps_to_its_schema(ws: Workspace, schema: str, argv: tuple[str, ...]) -> None:
    keeps(schema, printed(ws, *argv))


def test_a_schema_refuses_what_is_not_a_document_of_its_kind(ws: Workspace) -> None:
    document = printed(ws, "advise", "one", "--json")
    assert document["advice"] and document["path"] and document["readings"]
    renamed = json.loads(json.dumps(document).replace('"severity"', '"severty"', 1))
    assert {error.validator for error in problems("advise", renamed)} == {"required", "additionalProperties"}
    document["path"][0]["state"] = "somewhere"
    assert [error.json_path for error in problems("advise", document)] == ["$.path[0].state"]


def keeps(schema: str, document: Any) -> None:
    """The document has the keys that its schema names, all of them and no others."""
    assert [f"{error.json_path}: {error.message[:200]}" for error in problems(schema, document)] == []


def problems(schema: str, document: Any) -> list[jsonschema.ValidationError]:
    held = closed(json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return list(jsonschema.Draft202012Validator(held).iter_errors(document))


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not name: readers allow them, the program makes none."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    return made | {"additionalProperties": False} if "properties" in made else made


def test_the_documents_are_not_empty_where_there_is_something_to_say(ws: Workspace) -> None:
    assert [place["name"] for place in printed(ws, "queue", "--json")] == ["waiting"]
    wrong = printed(ws, "pairs", "scored", "--kind", "wrong", "--json")
    assert (wrong["count"], wrong["pairs_scored"]) == (10, 30)


@pytest.mark.slow
def test_what_needs_the_training_stack_keeps_to_its_schema_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from trainer.model import toy

    ws = make_workspace(tmp_path / "ws")
    for part in ("train", "val"):
        (ws.data / part / "x_pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    texts = [text for pair in PAIRS for text in pair.values()]
    toy.make_decoder(tmp_path / "model", texts, vocabulary=400, hidden=32, layers=2)
    words = ["A", "--data", "x", "--model", str(tmp_path / "model"), "--procs", "1", "--set", "num_epochs=1", "--yes"]
    launched = printed(ws, "launch", *words, "--wait", "--json")
    keeps("launch", launched)
    assert launched["state"] == "finished"
    pairs = str(ws.data / "val" / "x_pairs.jsonl")
    scored = printed(ws, "score", "@best", pairs, "--json")
    keeps("score", scored)
    assert scored["accuracy"] == printed(ws, "show", "@latest", "--json")["best"]["val_acc"]
    merged = printed(ws, "merge", "@best", str(tmp_path / "merged"), "--json")
    keeps("merge", merged)


def test_documents_name_every_state_and_kind_that_occurs() -> None:
    assert set(STATES) == set(map(str, State))
    assert typing.get_type_hints(PairsDocument)["kind"] == JsonKind and typing.get_args(Kind) == KINDS == tuple(IN_JSON)


def test_every_verb_that_prints_json_has_a_schema() -> None:
    (below,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    printing = {name for name, verb in below.choices.items() if "--json" in verb._option_string_actions}
    held = {path.stem for path in SCHEMAS.glob("*.json")}
    assert printing - {"stop", "resume"} <= held  # those two print what launch prints


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_one(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
