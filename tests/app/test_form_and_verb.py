"""One operation, two faces: what a form would launch is what the verb launches with the same values."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from app_pilot import WIDE, opened, until

from rmtui.app.screens.form import FormScreen
from rmtui.app.widgets.form.form import Form
from rmtui.index.index import Index
from rmtui.operations import launch_defaults
from rmtui.operations.plan import plan
from rmtui.presets import find
from rmtui.runs.folder import RunFolder
from rmtui.workspace import open_workspace


@pytest.fixture
def ws(ws):
    """Data and a model are there, but workspace.toml names neither; one run was made with both."""
    pair = {"chosen": "Hello, nice to see you!", "rejected": "No."}
    for part, count in (("train", 12), ("val", 5)):
        rows = (json.dumps(pair | {"prompt": f"Say hello, number {part} {n}."}) + "\n" for n in range(count))
        (ws.data / part / "tiny_pairs.jsonl").write_text("".join(rows))
    model = ws.root / "models" / "my base"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    (model / "pytorch_model.bin").write_bytes(b"PK")
    (ws.root / "workspace.toml").write_text("processes = 2\n")
    RunFolder.create(
        ws.runs,
        {"name": "first", "preset": "A", "data": "tiny", "config": {"model": str(model), "learning_rate": 1e-5}},
    )
    return open_workspace(ws.root)


def rmtui(ws, *arguments):
    command = [sys.executable, "-m", "rmtui", *arguments, "-C", str(ws.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def verb(ws, *arguments):
    """The configuration that `rmtui launch … --dry-run --json` plans, and the processes."""
    done = rmtui(ws, "launch", *arguments, "--dry-run", "--json")
    document = json.loads(done.stdout)
    assert not [problem for problem in document["problems"] if problem["severity"] == "error"], document["problems"]
    return document["config"], document["launch"]["processes"]


@pytest.mark.parametrize("changes", [{}, {"learning_rate": "3e-5", "lora.r": "8"}, {"method": "full", "seed": "7"}])
@pytest.mark.parametrize("letter", ["A", "B"])
async def test_form_and_verb_plan_the_same_run(ws, letter, changes):
    async with opened(ws.root, WIDE) as pilot:
        pilot.app.push_screen(FormScreen.of(find(ws, letter)))
        screen = await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and pilot.app.screen)
        form = screen.query_one(Form)
        await until(pilot, lambda: form.texts()["model"])
        for key, value in changes.items():
            form.set_text(key, value)
        made = plan(ws, screen.request())
        asked = ["--model", form.texts()["model"], "--data", "tiny"]
    settings = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    config = json.loads(json.dumps(made.spec["config"]))
    assert (config, made.spec["launch"]["processes"]) == verb(ws, letter, *asked, *settings)


def test_a_refused_verb_names_what_the_form_would_fill_in(ws):
    done = rmtui(ws, "launch", "A", "--dry-run", "--json")
    assert done.returncode == 2, "a launch without a model is refused, whatever the newest run had"
    done = rmtui(ws, "launch", "A")
    assert done.returncode == 2 and len(list(ws.runs.iterdir())) == 1
    remedy = next(line for line in done.stderr.splitlines() if "add --model" in line)
    options = remedy.partition("add ")[2].partition(", as a form")[0]
    assert verb(ws, "A", *shlex.split(options))[0]["data"]["train"].endswith("tiny_pairs.jsonl")


def test_all_presets_at_once_have_the_forms_defaults(ws):
    with Index.open_reading(ws) as index:
        index.sync()
        newest = index.runs("", limit=1)[0]
    for letter in "ABC":
        made = plan(ws, launch_defaults.request(ws, find(ws, letter), newest))
        assert not made.errors
        assert made.spec["config"]["model"].endswith("my base") and made.spec["data"] == "tiny"
