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
    (model / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
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
    """What `rmtui launch … --dry-run --json` would start: all of it but the moment."""
    done = rmtui(ws, "launch", *arguments, "--dry-run", "--json")
    documents = json.loads(done.stdout)
    for document in documents if isinstance(documents, list) else [documents]:
        assert not [problem for problem in document["problems"] if problem["severity"] == "error"], document["problems"]
    return documents


def as_verb(made):
    """A plan of the app in the verb's words."""
    plain = json.loads(json.dumps({key: made.spec[key] for key in ("name", "config", "launch")}))
    return plain | {"line": made.line, "environment": dict(made.command.environment), "precision": made.precision}


def parts(document):
    return {key: document[key] for key in ("name", "config", "launch", "line", "environment", "precision")}


EVERYTHING = {
    "num_epochs": "2",
    "learning_rate": "3e-5",
    "batch_size": "3",
    "gradient_accumulation_steps": "4",
    "warmup_ratio": "0.2",
    "lr_scheduler": "wsd",
    "lr_decay_ratio": "0.3",
    "lora.r": "8",
    "lora.alpha": "24",
    "lora.dropout": "0.25",
    "lora.target_modules": "q_proj, v_proj",
    "max_length": "128",
    "weight_decay": "0.01",
    "seed": "7",
    "mixed_precision": "no",
    "eval_steps": "2",
    "best_metric": "val_loss",
    "keep_checkpoints": "3",
    "use_margin": "true",
    "label_smoothing": "0.1",
    "chat_template": "none",
    "trackers": "tensorboard",
}
FULL = {"method": "full", "gradient_checkpointing": "true", "early_stopping_patience": "2", "deterministic": "true"}


@pytest.mark.parametrize("changes", [{}, EVERYTHING, FULL], ids=["as it is", "everything", "full"])
@pytest.mark.parametrize("letter", ["A", "B"])
async def test_form_and_verb_plan_the_same_run(ws, letter, changes):
    async with opened(ws.root, WIDE) as pilot:
        pilot.app.push_screen(FormScreen.of(find(ws, letter)))
        form = await form_in_front(pilot)
        for key, value in changes.items():
            form.set_text(key, value)
        request = pilot.app.screen.request()
        made, seeded = plan(ws, request), [plan(ws, one) for one in request.with_seeds((1, 2, 3))]
        asked = ["--model", form.texts()["model"], "--data", "tiny"]
    for key, value in changes.items():
        asked += ["--set", f"{key}={value}"]
    assert as_verb(made) == parts(verb(ws, letter, *asked))
    assert [as_verb(one) for one in seeded] == [parts(one) for one in verb(ws, letter, *asked, "--seeds", "1,2,3")]


async def form_in_front(pilot):
    screen = await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and pilot.app.screen)
    form = screen.query_one(Form)
    await until(pilot, lambda: form.texts()["model"])
    return form


async def test_a_run_once_more_is_what_the_verb_launches_with_its_settings(ws):
    async with opened(ws.root, WIDE) as pilot:
        await pilot.press("b")
        form = await form_in_front(pilot)
        made = plan(ws, pilot.app.screen.request())
    asked = ["--model", str(ws.path(form.texts()["model"])), "--data", "tiny", "--set", "learning_rate=1e-5"]
    assert as_verb(made)["config"] == verb(ws, "A", *asked)["config"]


def test_a_refused_verb_names_what_the_form_would_fill_in(ws):
    done = rmtui(ws, "launch", "A", "--dry-run", "--json")
    assert done.returncode == 2, "a launch without a model is refused, whatever the newest run had"
    (missing,) = [problem for problem in json.loads(done.stdout)["problems"] if problem["key"] == "model"]
    assert missing["remedy"].startswith("launch with --model PATH")
    done = rmtui(ws, "launch", "A")
    assert done.returncode == 2 and len(list(ws.runs.iterdir())) == 1
    remedy = next(line for line in done.stderr.splitlines() if "add --model" in line)
    options = remedy.partition("add ")[2].partition(", as the form")[0]
    assert verb(ws, "A", *shlex.split(options))["config"]["data"]["train"].endswith("tiny_pairs.jsonl")


def test_all_presets_at_once_have_the_forms_defaults(ws):
    with Index.open_reading(ws) as index:
        index.sync()
        newest = index.runs("", limit=1)[0]
    for letter in "ABC":
        made = plan(ws, launch_defaults.request(ws, find(ws, letter), newest))
        assert not made.errors
        assert made.spec["config"]["model"].endswith("my base") and made.spec["data"] == "tiny"
