"""Real trainings on foreign layouts, as a person starts them."""

import gzip
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import tomli
from fake_hub import FakeHub
from layout_cases import records, write_lines
from support import make_workspace

TEXTS = [
    (f"What is {number} plus {number % 7}?", f"It makes {number + number % 7}.", f"Perhaps {number * 3} or so.")
    for number in range(40)
]


def rmtui(ws, *words, code=0):
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=280
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def trained(ws, train, val):
    """The run's log and its metrics by step, of a training that `launch` starts through accelerate."""
    options = ["num_epochs=1", "use_margin=true", "learning_rate=1e-3", "start_check=false", "max_length=64"]
    changes = [word for option in options for word in ("--set", option)]
    files = ["--train", train, "--val", val, "--model", ws.root / "base"]
    launched = rmtui(ws, "launch", "A", *files, "--procs", 1, *changes, "--wait", "--yes", "--json")
    run = json.loads(launched)
    assert run["state"] == "finished", run
    exported = json.loads(rmtui(ws, "export", run["id"], "--format", "json"))
    (attempt,) = (ws.runs / run["id"]).glob("attempt-1")
    log = "".join(path.read_text() for path in sorted((attempt / "logs").glob("*.log")))
    return log, {name: exported["metrics"][name] for name in ("loss", "val_loss", "val_acc")}


@pytest.mark.slow
def test_what_is_trained_on_is_the_same_before_and_after_a_conversion(tmp_path):
    pytest.importorskip("torch")
    from trainer.model import toy

    ws = make_workspace(tmp_path / "ws")
    toy.make_decoder(ws.root / "base", [part for text in TEXTS for part in text], vocabulary=400, hidden=32, layers=1)
    ties = [record | {"overall_preference": 0} for record in records("HelpSteer3", TEXTS[:3])]
    train = tmp_path / "train.json"
    train.write_text(json.dumps([*records("HelpSteer3", TEXTS[:30]), *ties], indent=1))
    val = tmp_path / "val.jsonl.gz"
    val.write_bytes(gzip.compress(write_lines(tmp_path / "val.jsonl", records("SHP", TEXTS[30:])).read_bytes()))
    shown = rmtui(ws, "launch", "A", "--train", train, "--val", val, "--model", ws.root / "base", "--dry-run")
    assert "30 pairs" in shown and "data.train is read as HelpSteer3, JSON" in shown
    log, metrics = trained(ws, train, val)
    assert "training: 30 of 30 pairs" in log and "left out without a preference: 3 tie" in log
    assert "read as HelpSteer3, JSON: prompt ← context" in log and "read as SHP, JSON lines in gzip" in log
    for path in (train, val):
        rmtui(ws, "convert", path, tmp_path / f"{path.name}.plain.jsonl")
    plain = [tmp_path / f"{path.name}.plain.jsonl" for path in (train, val)]
    assert trained(ws, *plain)[1] == metrics


@pytest.mark.slow
@pytest.mark.skipif(find_spec("datasets") is None, reason="datasets is not installed")
def test_a_split_of_the_hub_is_trained_on_from_the_cache(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from trainer.model import toy

    ws = make_workspace(tmp_path / "ws")
    toy.make_decoder(ws.root / "base", [part for text in TEXTS for part in text], vocabulary=400, hidden=32, layers=1)
    parts = {"train": records("SHP", TEXTS[:30]), "test": records("SHP", TEXTS[30:])}
    files = {name: write_lines(tmp_path / f"{name}.jsonl", found) for name, found in parts.items()}
    with FakeHub({"org/prefs": {path.name: path.read_bytes() for path in files.values()}}).serve() as served:
        for name, value in served.environment(tmp_path / "cache").items():
            monkeypatch.setenv(name, value)
        rmtui(ws, "check", "hf:org/prefs@train")
    log, metrics = trained(ws, "hf:org/prefs@train", "hf:org/prefs@test")
    assert f"read as SHP, org/prefs of the hub, revision {served.commit('org/prefs')[:12]}" in log
    shown = json.loads(rmtui(ws, "show", "@latest", "--json"))
    assert shown["config"]["data"]["train"] == f"hf:org/prefs@train#revision={served.commit('org/prefs')}"
    assert trained(ws, files["train"], files["test"])[1] == metrics
    before, after = (tomli.loads(path.read_text())["fingerprints"] for path in sorted(ws.runs.glob("*/spec.toml")))
    assert before["train"] and before == after
