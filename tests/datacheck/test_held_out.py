"""A held-out part of a file: by prompt, the same for every layout and order, leaving no prompt on both sides."""

import json
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from layout_cases import records, user, write_lines
from support import make_workspace

from rmtui.operations.check import check
from rmtui.operations.convert import convert
from trainer import pairs
from trainer.held_out import Part, family, parse, view

QUESTIONS = [f"What is {number} times {number + 3}?" for number in range(300)]


def rows_of(path):
    return [one for one in pairs.read_rows(path) if isinstance(one, pairs.Row)]


def sides(path, share=0.2, seed=7):
    return [rows_of(view(path, Part(share, seed, side))) for side in ("train", "val")]


def family_file(folder, layout="SHP", shuffle=0):
    """Two pairs a question: as it is, and in other spelling."""
    texts = []
    for question in QUESTIONS:
        texts += [(question, "Right, so.", "Wrong, no!"), (question.upper(), "Right, yes.", "Wrong, never!")]
    found = records(layout, texts)
    random.Random(shuffle).shuffle(found)
    return write_lines(folder / f"{layout}-{shuffle}.jsonl", found)


def test_both_sides_together_are_the_file_and_no_family_is_on_both(tmp_path):
    path = family_file(tmp_path)
    train, val = sides(path)
    assert sorted(row.id for row in train + val) == sorted(row.id for row in rows_of(path))
    assert not {family(row) for row in train} & {family(row) for row in val}
    assert set(Counter(map(family, val)).values()) == {2}
    held = len({family(row) for row in val}) / len(QUESTIONS)
    assert abs(held - 0.2) < 4 * (0.2 * 0.8 / len(QUESTIONS)) ** 0.5


def test_the_same_questions_are_held_out_in_any_order_and_layout(tmp_path):
    wanted = {family(row) for row in sides(family_file(tmp_path))[1]}
    assert {family(row) for row in sides(family_file(tmp_path, shuffle=3))[1]} == wanted
    for layout in ("HH", "Nectar", "LLaMA-Factory sharegpt", "pairs"):
        assert {family(row) for row in sides(family_file(tmp_path, layout))[1]} == wanted
    assert {family(row) for row in sides(family_file(tmp_path), seed=8)[1]} != wanted


def test_a_longer_dialogue_stays_with_its_opening_question(tmp_path):
    found = []
    for question in QUESTIONS:
        longer = [user(question), {"role": "assistant", "content": "Hm."}, user("Go on.")]
        for turns in (longer[:1], longer):
            found.append({"conversations": turns, "chosen": "Yes, so.", "rejected": "No, no."})
    train, val = sides(write_lines(tmp_path / "x.jsonl", found))
    assert len(val) % 2 == 0 and len(train) % 2 == 0
    assert not {family(row) for row in train} & {family(row) for row in val}


def test_bad_lines_and_ties_belong_to_the_training_part_only(tmp_path):
    path = family_file(tmp_path, "HelpSteer3")
    with path.open("a") as file:
        file.write("no json\n" + json.dumps(records("HelpSteer3")[0] | {"overall_preference": 0}) + "\n")
    train, val = (check([view(path, Part(0.2, 7, side))], look_for_near=False).files[0] for side in ("train", "val"))
    assert (train.errors, train.counts["tie"]) == (1, 1)
    assert (val.errors, val.counts.get("tie")) == (0, None)
    assert [one.line for one in train.findings if one.kind == "invalid_json"] == [len(QUESTIONS) * 2 + 1]


NO_PARTS = ["x.jsonl", "x.jsonl#split=0.7,seed=1,part=val", "x.jsonl#split=1.2.3,seed=1,part=val", "x#y"]


@pytest.mark.parametrize("name", NO_PARTS)
def test_other_names_are_names_of_files(name):
    assert parse(name)[1] is None


def test_a_part_is_converted_into_a_file_with_the_same_fingerprint(tmp_path):
    part = view(family_file(tmp_path), Part(0.2, 7, "val"))
    convert(part, tmp_path / "val.jsonl")
    assert pairs.fingerprint(tmp_path / "val.jsonl") == pairs.fingerprint(part)


def rmtui(ws, *words):
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)


def launch(ws, *words):
    return rmtui(ws, "launch", "A", *words, "--model", ws.root / "base")


def test_the_launch_counts_the_training_part_and_says_what_is_held_out(tmp_path):
    ws, path = make_workspace(tmp_path / "ws"), family_file(tmp_path)
    split = ("--split", "0.2", "--split-seed", "7")
    document = json.loads(launch(ws, "--train", path, *split, "--dry-run", "--json").stdout)
    assert document["derived"]["train_pairs"] == len(sides(path)[0])
    assert document["config"]["data"]["val"] == view(path, Part(0.2, 7, "val"))
    assert "validation is training" not in str(document["problems"])
    shown = launch(ws, "--train", path, "--split", "0.2", "--dry-run").stdout
    assert "held out: 0.2 of the prompts, seed 42" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "0.9"], "not a share"),
        (["--split", "ten"], "not a share"),
        (["--split", "0.1", "--val", "x.jsonl"], "validation file is named as well"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(tmp_path, words, said):
    ws, path = make_workspace(tmp_path / "ws"), family_file(tmp_path)
    done = launch(ws, "--train", path, *words, "--dry-run")
    assert done.returncode == 2 and said in done.stdout


@pytest.mark.slow
def test_a_run_on_a_split_is_resumed_exactly_and_its_pairs_are_found(tmp_path):
    pytest.importorskip("torch")
    from trainer.model import toy

    ws, path = make_workspace(tmp_path / "ws"), family_file(tmp_path)
    toy.make_decoder(ws.root / "base", QUESTIONS, vocabulary=400, hidden=32, layers=1)
    changes = [word for option in ("num_epochs=1", "start_check=false", "max_length=64") for word in ("--set", option)]
    done = launch(ws, "--train", path, "--split", "0.2", "--procs", "1", *changes, "--wait", "--yes", "--json")
    run = json.loads(done.stdout)
    assert run["state"] == "finished", done.stderr
    extended = rmtui(ws, "resume", run["id"], "--epochs", "2", "--wait")
    assert extended.returncode == 0, extended.stderr
    assert "changed" not in extended.stderr
    shown = json.loads(rmtui(ws, "show", extended.stdout.split()[-1], "--json").stdout)
    assert shown["epochs"][-1]["val_pairs"] == len(sides(path, seed=42)[1])
    found = json.loads(rmtui(ws, "pairs", run["id"], "--by", "domain", "--json").stdout)
    assert found["note"] == ""
    (group,) = found["runs"][0]["groups"]
    assert (group["label"], group["pairs"]) == ("askx_train", shown["epochs"][-1]["val_pairs"])
