"""`init_from` in plans: a run or a folder becomes the weights to start from, the base follows, the records link."""

from __future__ import annotations

import json
import math

import pytest

from rmtui import cli, workspace
from rmtui.operations import launch, runs
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from trainer import manifest

LORA = {"lora.r": "4", "lora.alpha": "8"}
SHAPES = {
    "base_model.model.score.weight": [1, 8],
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": [4, 8],
}


def write_weights(file, shapes):
    """A safetensors file of zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def write_adapter(folder, base, **changes):
    folder.mkdir(parents=True)
    settings = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": str(base)}
    settings |= {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))
    write_weights(folder / "adapter_model.safetensors", SHAPES)
    return folder


def write_base(folder):
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    (folder / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    return folder


@pytest.fixture
def ws(ws):
    """With data, and two bases, of which the workspace names the first."""
    for part in ("train", "val"):
        rows = [
            {"id": f"{part}{n}", "prompt": f"{part} {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"}
            for n in range(9)
        ]
        (ws.root / f"data/{part}/tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_base(ws.root / "usual")
    write_base(ws.root / "other")
    (ws.root / "workspace.toml").write_text('model = "usual"\ndata = "tiny"\n')
    return workspace.open_workspace(ws.root)


@pytest.fixture
def first(ws):
    """A run over the other base, with two checkpoints of which the first is the best."""
    run = launch.prepare(ws, plan(ws, LaunchRequest("A", overrides=LORA, model="other", name="first")))
    for step in (3, 6):
        folder = write_adapter(run.path / "checkpoints" / manifest.folder_name(step), ws.root / "other")
        head = {"step": step, "epoch": step / 3, "reason": "epoch", "created": 1.0, "world_size": 1, "facts": {}}
        manifest.seal(folder, head)
    best = run.path / "checkpoints/step-000003"
    manifest.point_best(run.path, manifest.BestCheckpoint(best, "val_acc", 0.7, 3))
    return run


def planned(ws, given, **more):
    return plan(ws, LaunchRequest("A", overrides={**LORA, "init_from": str(given), **more}))


def wrong(made, key="init_from"):
    return " ".join(str(one) for one in made.errors if one.key == key)


def test_a_run_stands_for_its_best_checkpoint_and_brings_its_base(ws, first):
    for given in (first.id, "first", first.id[:15], f"runs/{first.id}"):
        made = planned(ws, given)
        assert made.errors == ()
        config = made.spec["config"]
        assert config["init_from"] == str(first.path / "checkpoints/step-000003")
        assert config["model"] == str(ws.root / "other") and made.spec["starts_from"] == first.id


def test_a_checkpoint_and_a_folder_from_elsewhere(ws, first, tmp_path):
    made = planned(ws, f"runs/{first.id}/checkpoints/step-000006")
    assert made.errors == () and made.spec["starts_from"] == first.id
    made = planned(ws, write_adapter(tmp_path / "theirs", ws.root / "usual"))
    assert made.errors == () and "starts_from" not in made.spec
    assert made.spec["config"]["model"] == str(ws.root / "usual")


def test_a_preset_names_it_relative_to_the_workspace(ws):
    write_adapter(ws.root / "models/old", ws.root / "other")
    (ws.presets / "on.toml").write_text('title = "on"\ninit_from = "models/old"\n[lora]\nr = 4\nalpha = 8\n')
    made = plan(ws, LaunchRequest("on"))
    assert made.errors == () and made.spec["config"]["init_from"] == str(ws.root / "models/old")


def test_what_does_not_fit_is_refused_in_the_plan(ws, first):
    assert "neither a folder nor a run" in wrong(planned(ws, "nothing-of-this-name"))
    assert "not over" in wrong(planned(ws, "first", model=str(ws.root / "usual")))
    assert "--set lora.r=4" in wrong(planned(ws, "first", **{"lora.r": "16"}))
    assert "rmtui merge" in wrong(planned(ws, "first", method="full"))
    file = first.path / "checkpoints/step-000003/adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    assert "cut off" in wrong(planned(ws, "first"))


def test_a_run_without_a_checkpoint_is_no_start(ws):
    run = launch.prepare(ws, plan(ws, LaunchRequest("A", name="empty")))
    assert "has no checkpoint" in wrong(planned(ws, run.id))


def test_a_whole_reward_model_is_the_base_of_an_adapter_over_it(ws):
    folder = ws.root / "models/reward"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["LlamaForSequenceClassification"]}')
    write_weights(folder / "model.safetensors", {"score.weight": [1, 8]})
    for method in ("lora", "full"):
        made = planned(ws, folder, method=method)
        assert made.errors == () and made.spec["config"]["model"] == str(folder)
    assert "goes over it" in wrong(planned(ws, folder, model=str(ws.root / "usual")))


def test_an_adapter_over_a_runs_whole_model_is_warned_to_depend_on_it(ws):
    run = launch.prepare(ws, plan(ws, LaunchRequest("A", overrides={"method": "full"}, name="whole")))
    folder = run.path / "checkpoints/step-000003"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["LlamaForSequenceClassification"]}')
    write_weights(folder / "model.safetensors", {"score.weight": [1, 8]})
    manifest.seal(folder, {"step": 3, "epoch": 1, "reason": "epoch", "created": 1.0, "world_size": 1, "facts": {}})
    made = planned(ws, "whole")
    assert made.errors == () and any(f"rmtui merge {run.id}" in str(one) for one in made.warnings)
    on = planned(ws, "whole", method="full")
    assert on.errors == () and "init_from" not in [one.key for one in on.problems]
    assert on.spec["config"]["model"] == str(ws.root / "usual")


def test_the_verb_takes_it_and_show_links_the_runs(ws, first, capsys):
    set_lora = [word for key, value in LORA.items() for word in ("--set", f"{key}={value}")]
    line = ["-C", str(ws.root), "launch", "A", "--init-from", "first", *set_lora, "--dry-run", "--json"]
    assert cli.main(line) == 0
    assert json.loads(capsys.readouterr().out)["config"]["init_from"].endswith("step-000003")
    linked = launch.prepare(ws, planned(ws, "first"))
    assert cli.main(["-C", str(ws.root), "show", linked.id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["links"] == [{"how": "starts_from", "id": first.id, "name": "first"}]
    assert cli.main(["-C", str(ws.root), "show", linked.id]) == 0
    assert f"starts from first  ({first.id})" in capsys.readouterr().out


def test_deleting_a_run_names_those_that_started_from_it(ws, first, monkeypatch, capsys):
    second = launch.prepare(ws, planned(ws, "first"))
    assert cli.main(["-C", str(ws.root), "rm", "first"]) == 2
    assert f"{second.name()} started from it" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert cli.main(["-C", str(ws.root), "rm", "first"]) == 1
    said = capsys.readouterr().err
    assert f"{second.name()} started from it" in said
    assert "cannot be resumed" not in said, "an adapter goes on in checkpoints of its own"
    assert first.path.is_dir()
    assert cli.main(["-C", str(ws.root), "rm", "first", second.id, "--yes"]) == 0


def test_deleting_a_run_whose_model_is_the_base_of_another_says_what_breaks(ws, first):
    whole = first.path / "model"
    write_base(whole)
    launch.prepare(ws, planned(ws, whole, model=str(whole)))
    assert "cannot be resumed, scored or merged" in runs.started_from(ws, {first.id})
    assert runs.started_from(ws, {"20200101-000000-none"}) == ""
