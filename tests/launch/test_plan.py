"""Plans: every problem at once, each with its place and remedy; names, figures, and the exact line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import launch_kit as kit
import pytest
import support

from rmtui import presets, workspace
from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.operations import check, launch
from rmtui.operations.estimates import past_time
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from rmtui.runs.folder import run_folders


def planned_time(index, planned):
    return past_time(index, planned.derived, planned.spec)


@pytest.fixture
def ws(ws):
    """With a data set, and a folder that looks like a model; nothing here is trained."""
    for part, count in (("train", 40), ("val", 120)):
        rows = [
            {"id": f"{part}{n}", "prompt": f"{part} {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"}
            for n in range(count)
        ]
        (ws.root / f"data/{part}/tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "base").mkdir()
    (ws.root / "base" / "config.json").write_text('{"model_type": "llama"}')
    (ws.root / "base" / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text('model = "base"\ndata = "tiny"\n')
    return workspace.open_workspace(ws.root)


def test_everything_wrong_is_told_at_once_and_nothing_is_made(ws):
    wrong = {"learning_rate": "fast", "lora.r": "0", "lerning_rate": "1e-5"}
    planned = plan(ws, LaunchRequest("a", overrides=wrong, train="nope.jsonl", model="./nowhere", procs=0))
    told = {(problem.key, problem.source) for problem in planned.errors}
    assert told >= {
        ("learning_rate", "--set"),
        ("lora.r", "--set"),
        ("lerning_rate", "--set"),
        ("data.train", "--train"),
        ("model", "--model"),
        ("processes", "--procs"),
    }
    assert all(problem.what and problem.remedy for problem in planned.errors)
    with pytest.raises(UserError) as refused:
        launch.start(ws, planned)
    assert "did you mean learning_rate" in str(refused.value)
    assert list(run_folders(ws.runs)) == []


def test_a_broken_preset_hides_no_other_problem(ws):
    (ws.presets / "mine.toml").write_text('learning_rate = "fast"\n[lora]\nr = 0\n')
    planned = plan(ws, LaunchRequest("mine", data="nothing"))
    words = "\n".join(map(str, planned.errors))
    assert "mine.toml" in words and "learning_rate" in words and "lora.r" in words and "nothing_pairs.jsonl" in words


def test_a_torn_tokenizer_is_a_problem_of_the_model_and_hides_no_other(ws):
    tokenizer = ws.root / "base" / "tokenizer.json"
    tokenizer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    planned = plan(ws, LaunchRequest("A", overrides={"lora.r": "0"}))
    assert {problem.key for problem in planned.errors} == {"model", "lora.r"}
    assert f"{tokenizer} is a pointer of Git LFS" in "\n".join(map(str, planned.errors))


def test_without_a_model_a_launch_is_refused(ws):
    (ws.root / "workspace.toml").write_text('data = "tiny"\n')
    planned = plan(workspace.open_workspace(ws.root), LaunchRequest("A"))
    assert [problem.key for problem in planned.errors] == ["model"]


def test_the_figures_follow_from_data_and_processes(ws):
    planned = plan(ws, LaunchRequest("A", procs=2))
    figures = planned.derived
    assert (figures.train_pairs, figures.effective_batch) == (40, 4 * 2 * 2)
    assert (figures.steps_per_epoch, figures.total_steps, figures.warmup_steps) == (3, 9, 0)


def llama(folder, hidden=64, wide=128, layers=2, words=1000):
    """A model folder that tells its sizes; returns the numbers in its matrices, tables and norms."""
    facts = {"model_type": "llama", "vocab_size": words, "hidden_size": hidden, "intermediate_size": wide}
    facts |= {"num_hidden_layers": layers, "num_attention_heads": 4}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    return words * hidden + layers * (4 * hidden * hidden + 3 * hidden * wide) + (2 * layers + 1) * hidden


def test_parameters_and_memory_follow_from_the_model_and_the_form(ws):
    body = llama(ws.root / "base")
    head = 64
    full = plan(ws, LaunchRequest("A", overrides={"method": "full"})).sizes
    assert full.parameters == full.trainable == body + head
    assert full.optimizer_bytes == 2 * 4 * (body + head)
    small, large = (plan(ws, LaunchRequest("A", overrides={"lora.r": r})).sizes for r in ("4", "8"))
    assert large.trainable - head == 2 * (small.trainable - head) and large.total_bytes > small.total_bytes


def test_no_sizes_are_invented_for_a_model_that_is_elsewhere(ws):
    assert plan(ws, LaunchRequest("A", model="someone/model-on-the-hub")).sizes is None


def test_past_runs_of_the_same_kind_tell_the_time(ws):
    figures = {"model": str((ws.root / "base").resolve()), "max_length": 512, "mixed_precision": "no"}
    same = {**support.config(**figures), "batch_size": 2, "gradient_accumulation_steps": 1}
    events = support.training(step_seconds=2.0)
    support.make_run_folder(ws, config=same, events=events)
    support.make_run_folder(ws, config={**same, "max_length": 64}, events=support.training(step_seconds=9.0))
    index = Index.open(ws)
    index.sync()
    changes = {"max_length": "512", "mixed_precision": "no", "num_epochs": "5"}
    found = planned_time(index, plan(ws, LaunchRequest("A", procs=2, overrides=changes)))
    seconds_a_pair = 2.0 / (2 * 1 * 2)
    assert (found.seconds, found.runs) == (pytest.approx(40 * 5 * seconds_a_pair), 1)
    assert planned_time(index, plan(ws, LaunchRequest("A", procs=1, overrides=changes))) is None


def test_the_time_of_a_launch_has_its_start_and_its_evaluations_in_it(ws):
    """A run of 3 steps that takes a minute to start does not take three seconds."""
    figures = {"model": str((ws.root / "base").resolve()), "max_length": 512, "mixed_precision": "no"}
    same = {**support.config(**figures), "batch_size": 2, "gradient_accumulation_steps": 1}
    late = [event._replace(t=event.t + 50) for event in support.training(step_seconds=2.0)]
    late[0] = late[0]._replace(t=late[0].t - 50)
    support.make_run_folder(ws, config=same, events=late)
    longer = [event._replace(t=event.t + 5000) for event in late[1:]]  # a stop in between: its pause is nobody's cost
    support.make_run_folder(ws, config=same, attempts=[late[:5], [late[0], *longer]])
    index = Index.open(ws)
    index.sync()
    changes = {"max_length": "512", "mixed_precision": "no", "num_epochs": "5"}
    found = planned_time(index, plan(ws, LaunchRequest("A", procs=2, overrides=changes)))
    steps = 60 * 2.0
    assert found.beside == pytest.approx(late[-1].t - late[0].t - steps)
    assert found.whole == found.seconds + found.beside and 49 < found.beside < 60


def test_the_processes_are_the_callers_else_the_workspaces_else_one(ws):
    assert plan(ws, LaunchRequest("A")).spec["launch"]["processes"] == 1
    (ws.root / "workspace.toml").write_text('model = "base"\ndata = "tiny"\nprocesses = 2\n')
    ws = workspace.open_workspace(ws.root)
    assert plan(ws, LaunchRequest("A")).spec["launch"]["processes"] == 2
    assert plan(ws, LaunchRequest("A", procs=1)).spec["launch"]["processes"] == 1


def test_the_line_really_asks_for_two_cpu_ranks(ws):
    two, one = plan(ws, LaunchRequest("A", procs=2)).command, plan(ws, LaunchRequest("A", procs=1)).command
    words = " ".join(two.argv)
    assert "--multi_gpu --num_processes 2 --num_machines 1" in words and "--main_process_port 0" in words
    assert two.environment["ACCELERATE_USE_CPU"] == "true"
    assert int(two.environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) > 90
    assert "--cpu --num_processes 1" in " ".join(one.argv) and "--multi_gpu" not in one.argv


def test_a_train_file_alone_keeps_the_default_validation_file(ws, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_bytes((ws.root / "data/train/tiny_pairs.jsonl").read_bytes())
    config = plan(ws, LaunchRequest("A", train="other.jsonl", cwd=tmp_path)).spec["config"]
    assert config["data"]["train"] == str(other)
    assert config["data"]["val"] == str(ws.root / "data/val/tiny_pairs.jsonl")


def test_a_file_that_was_named_counts_before_every_set(ws):
    """`--set`, then `--data`, then the preset's own files; the usual set fills what is empty."""
    other = {part: ws.root / f"data/{part}/other_pairs.jsonl" for part in ("train", "val")}
    for part, path in other.items():
        path.write_text((ws.root / f"data/{part}/tiny_pairs.jsonl").read_text())
    few = ws.root / "few.jsonl"
    few.write_text(other["train"].read_text())

    def files(preset="A", **more):
        spec = plan(ws, LaunchRequest(preset, **more)).spec
        return [Path(spec["config"]["data"][part]).name for part in ("train", "val")], spec["data"]

    tiny, others = ["tiny_pairs.jsonl"] * 2, ["other_pairs.jsonl"] * 2
    own = {"data.train": "few.jsonl"}
    assert files() == (tiny, "tiny")
    assert files(usual_data="other") == (others, "other")
    assert files(overrides=own) == (["few.jsonl", tiny[1]], "few")
    assert files(overrides=own, usual_data="other") == (["few.jsonl", others[1]], "few")
    assert files(overrides=own, data="other") == (["few.jsonl", others[1]], "few")
    (ws.presets / "mine.toml").write_text('[data]\ntrain = "few.jsonl"\nval = "data/val/other_pairs.jsonl"\n')
    assert files("mine", usual_data="tiny") == (["few.jsonl", others[1]], "few")
    assert files("mine", data="tiny") == (tiny, "tiny")
    both = plan(
        ws,
        LaunchRequest("A", overrides={**own, "data.val": "data/val/tiny_pairs.jsonl"}, data="other"),
        check_data=False,
    )
    assert [problem.what for problem in both.problems] == ["other is not used: both files are named"]


def test_names_count_up_and_odd_ones_are_refused_or_kept_as_text(ws):
    assert plan(ws, LaunchRequest("A")).spec["name"] == "tiny-A-1"
    first, second = (
        launch.prepare(ws, planned) for planned in [plan(ws, LaunchRequest("A")), plan(ws, LaunchRequest("A"))]
    )
    assert [first.name(), second.name()] == ["tiny-A-1", "tiny-A-2"]
    without = replace(presets.find(ws, "A"), name="")  # a run that was imported has no preset
    assert plan(ws, LaunchRequest(without)).spec["name"] == "tiny-1"
    odd = launch.prepare(ws, plan(ws, LaunchRequest("A", name="../../[b]x; rm -rf $HOME")))
    assert odd.name() == "../../[b]x; rm -rf $HOME" and odd.path.parent == ws.runs
    with pytest.raises(UserError):
        plan(ws, LaunchRequest("A", name="two\nlines\x1b[2J"))


def test_a_preset_edited_after_the_plan_changes_nothing_that_was_launched(ws):
    preset = presets.find(ws, "A")
    planned = plan(ws, LaunchRequest(preset))
    preset.path.write_text(preset.text.replace("1.5e-5", "9e-5"))
    run = launch.prepare(ws, planned)
    assert run.spec()["config"]["learning_rate"] == 1.5e-5
    assert plan(ws, LaunchRequest("A")).spec["config"]["learning_rate"] == 9e-5


def test_the_spec_says_where_the_run_comes_from(ws):
    spec = launch.prepare(ws, plan(ws, LaunchRequest("A", tags=("night",)))).spec()
    assert len(spec["fingerprints"]["train"]) == 64 and spec["fingerprints"]["train"] != spec["fingerprints"]["val"]
    assert "rmtui" in spec["versions"] and spec["schema"] == 1


def test_a_named_gpu_that_is_not_there_is_refused(ws):
    planned = plan(ws, LaunchRequest("A", devices="7,8"))
    assert [problem.key for problem in planned.errors] == ["devices"]
    assert kit.slots.needs_of(planned.spec).kind == "cpu"


def test_a_problem_names_its_source_and_its_key_once(ws):
    planned = plan(ws, LaunchRequest("A", overrides={"lora.r": "0"}, data="nothing"))
    told = [str(problem) for problem in planned.errors]
    assert any(line.startswith("--set lora.r: 0 is out of range") for line in told), told
    assert any(line.startswith("--data: ") and "data: " not in line.removeprefix("--data: ") for line in told), told


def test_a_finding_in_the_data_names_the_option_the_line_and_the_file_once(ws):
    file = ws.root / "data/val/tiny_pairs.jsonl"
    file.write_text(file.read_text() + "no json\n")
    told = [str(problem) for problem in plan(ws, LaunchRequest("A")).errors]
    assert len(told) == 1 and told[0].startswith("data.val: line 121: "), told
    assert told[0].count(str(file)) == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "learning_rate"),
        ("epochs", "num_epochs"),
        ("batch", "batch_size"),
        ("r", "lora.r"),
        ("alpha", "lora.alpha"),
        ("dropout", "lora.dropout"),
        ("warmup", "warmup_ratio"),
        ("scheduler", "lr_scheduler"),
    ],
)
def test_a_short_name_is_answered_with_the_whole_one(ws, typed, meant):
    told = [str(problem) for problem in plan(ws, LaunchRequest("A", overrides={typed: "2"})).errors]
    assert told == [f"--set {typed}: unknown key; did you mean {meant}?"]


def test_without_the_training_stack_that_is_said_first_and_only(ws, monkeypatch):
    (ws.root / "base" / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("rmtui.launch.training_stack.importlib.util.find_spec", lambda name: None)
    planned = plan(ws, LaunchRequest("A", overrides={"lr": "2"}, train="nope.jsonl"))
    assert len(planned.problems) == 1
    assert "torch" in str(planned.problems[0]) and "pip install -c constraints.txt '.[train]'" in str(
        planned.problems[0]
    )


@pytest.fixture
def long_answers(ws):
    """Three answers of 20 words beside the 40 pairs; a tokenizer whose tokens are words."""
    tokenizers = pytest.importorskip("tokenizers", reason="the training stack is not installed")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(ws.root / "base" / "tokenizer.json"))
    path = ws.root / "data/train/tiny_pairs.jsonl"
    rows = [{"prompt": f"Which is longer, {n}?", "chosen": "word " * 20 + str(n), "rejected": "no"} for n in range(3)]
    path.write_text(path.read_text() + "".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("limit", "overlong", "pairs"), [(8, "drop", 40), (8, "cut", 43), (200, "drop", 43)])
def test_steps_do_not_count_pairs_that_are_left_out(ws, long_answers, limit, overlong, pairs):
    sizes = {"max_length": str(limit), "overlong": overlong, "batch_size": "1", "gradient_accumulation_steps": "1"}
    made = plan(ws, LaunchRequest("A", sizes))
    assert (made.derived.train_pairs, made.derived.steps_per_epoch) == (pairs, pairs)
    assert not [problem for problem in made.warnings if problem.key == "overlong"]


def test_a_source_of_a_mixture_does_not_count_them_either(ws, long_answers):
    other = long_answers.with_name("other_pairs.jsonl")
    other.write_text(long_answers.read_text().splitlines(keepends=True)[0])
    sources = f"{long_answers};weight=2,{other}"
    made = plan(ws, LaunchRequest("A", {"max_length": "8", "data.source": sources}))
    assert made.derived.train_pairs == 2 * 40 + 1


def test_numbers_from_a_sample_still_count_them_and_say_so(ws, long_answers, monkeypatch):
    size = long_answers.stat().st_size + (ws.root / "data/val/tiny_pairs.jsonl").stat().st_size
    monkeypatch.setattr(check, "TOKENS_OF", size - 1)  # every second pair is looked at
    made = plan(ws, LaunchRequest("A", {"max_length": "8"}))
    assert made.derived.train_pairs == 43
    assert [problem for problem in made.warnings if problem.key == "overlong"]
