"""A comparison of runs on versions of one data set: the log of `relabel` says what differs, untouched pairs whether it
helped."""

from __future__ import annotations

import json
import random
from statistics import fmean

import pytest
from scipy import stats
from support import config, make_run_folder

from rmtui.cli import main
from trainer.pairs import fingerprint

COUNT = 60


def write(path, count=COUNT, mark="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"p{n}", "prompt": f"{mark} question {n}?", "chosen": f"good {n}", "rejected": f"bad {n}"}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(capsys, *argv, code=0):
    assert main([str(one) for one in argv]) == code
    out = capsys.readouterr().out
    return json.loads(out) if "--json" in argv else out


def relabel(capsys, path, *argv):
    return said(capsys, "relabel", path, *argv, "--json")["path"]


def launched(ws, name, train, val, scores=None, **options):
    """A run's folder that recorded the hashes of these files; `scores`: pair id → is it right?"""
    prints = {"train": fingerprint(train), "val": fingerprint(val)}
    options = {"data": {"train": str(train), "val": str(val)}, **options}
    folder = make_run_folder(ws, name, config=config(**options), fingerprints=prints)
    if scores is not None:
        path = folder.path / "validation" / "epoch-3.jsonl"
        path.parent.mkdir()
        lines = [{"id": key, "chosen": float(ok), "rejected": 0.5} for key, ok in scores.items()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def scores(seed, share=0.7, count=COUNT):
    draw = random.Random(seed)
    return {f"p{n}": draw.random() < share for n in range(count)}


def compared(ws, capsys, *names):
    return said(capsys, "-C", ws.root, "compare", *names, "--json")["paired"][0]


@pytest.fixture
def files(ws):
    return write(ws.data / "train" / "t.jsonl", mark="t"), write(ws.data / "val" / "v.jsonl")


def test_relabelled_validation_pairs_are_left_out_of_the_test(ws, capsys, files):
    train, val = files
    version = relabel(capsys, val, "--flip", "p1", "p2", "--drop", "p3", "--tie", "p4")
    a, b = scores(1), scores(2)
    launched(ws, "a", train, val, a)
    launched(ws, "b", train, version, {key: ok for key, ok in b.items() if key not in ("p3", "p4")})
    found = compared(ws, capsys, "a", "b")
    known = found["relabelled"]
    assert known["val"] == {"same": False, "flipped": ["p1", "p2"], "a_only": ["p3", "p4"], "b_only": []}
    assert known["train"] == {"same": True, "flipped": None, "a_only": None, "b_only": None}
    rest = [key for key in a if key not in ("p1", "p2", "p3", "p4")]
    verdict = known["untouched"]["verdict"]
    gained = sum(b[key] and not a[key] for key in rest)
    lost = sum(a[key] and not b[key] for key in rest)
    assert (known["untouched"]["n"], verdict["mended"], verdict["broken"]) == (len(rest), gained, lost)
    assert verdict["p"] == pytest.approx(stats.binomtest(lost, gained + lost, 0.5).pvalue)
    assert known["untouched"]["accuracy"] == [fmean(run[key] for key in rest) for run in (a, b)]
    wilson = stats.binomtest(sum(a[key] for key in rest), len(rest)).proportion_ci(method="wilson")
    assert known["untouched"]["interval"][0] == pytest.approx(list(wilson))
    text = " ".join(found["texts"])
    assert "2 flipped (p1, p2), 2 only in those of a (p3, p4)" in text and "On the 56 pairs" in text
    assert "training pairs are the same" in text and "do not compare their metrics" in text
    back = compared(ws, capsys, "b", "a")["relabelled"]
    assert back["val"] == {"same": False, "flipped": ["p1", "p2"], "a_only": [], "b_only": ["p3", "p4"]}
    page = said(capsys, "-C", ws.root, "compare", "a", "b", "--lang", "zh")
    assert "在两个验证文件中相同的56 对样本上" in page


def test_where_only_training_pairs_changed_all_validation_pairs_are_untouched(ws, capsys, files):
    train, val = files
    version = relabel(capsys, train, "--flip", *(f"p{n}" for n in range(7)))
    launched(ws, "a", train, val, scores(1))
    launched(ws, "b", version, val, scores(2), learning_rate=3e-5)
    found = compared(ws, capsys, "a", "b")
    assert found["verdict"]["n"] == COUNT and found["relabelled"]["untouched"] is None
    assert found["relabelled"]["val"]["same"] and len(found["relabelled"]["train"]["flipped"]) == 7
    text = " ".join(found["texts"])
    assert "7 flipped (p0, p1, p2, p3, p4, …)" in text and "Only training pairs were relabelled" in text
    assert "Other settings differ too (learning_rate)" in text


def test_versions_of_versions_and_sisters_are_connected_by_their_hashes_alone(ws, capsys, files):
    train, val = files
    once = relabel(capsys, val, "--flip", "p1", "p2", "--drop", "p3")
    twice = relabel(capsys, once, "--flip", "p2", "p5", "--drop", "p6")
    sister = relabel(capsys, val, "--drop", "p3", "p8", "--flip", "p5")
    for name, path in (("a", val), ("b", twice), ("c", sister)):
        launched(ws, name, train, path, scores(1))
    for place, path in enumerate((val, twice, sister)):  # names connect nothing, and no file need be there
        (ws.root / path).rename(ws.data / "val" / f"renamed{place}.jsonl")
    chain = compared(ws, capsys, "a", "b")["relabelled"]["val"]
    assert (chain["flipped"], chain["a_only"], chain["b_only"]) == (["p1", "p5"], ["p3", "p6"], [])
    sisters = compared(ws, capsys, "c", "b")["relabelled"]["val"]
    assert (sorted(sisters["flipped"]), sisters["a_only"], sisters["b_only"]) == (["p1"], ["p6"], ["p8"])


def test_a_file_of_another_content_under_the_versions_name_is_not_taken_for_it(ws, capsys, files):
    train, val = files
    version = relabel(capsys, val, "--flip", "p1")
    launched(ws, "a", train, val, scores(1))
    write(ws.root / "other.jsonl", mark="z").replace(version)
    launched(ws, "b", train, version, scores(2))
    found = compared(ws, capsys, "a", "b")
    assert "relabelled" not in found and found["verdict"] is None


def test_no_untouched_pair_and_too_few_are_said(ws, capsys, files):
    train, val = files
    every = relabel(capsys, val, "--flip", *(f"p{n}" for n in range(COUNT)))
    most = relabel(capsys, val, "--flip", *(f"p{n}" for n in range(1, COUNT)))
    few = relabel(capsys, val, "--flip", *(f"p{n}" for n in range(5, COUNT)))
    for name, path in (("a", val), ("every", every), ("most", most), ("few", few)):
        launched(ws, name, train, path, dict.fromkeys(scores(1), name == "a"))
    launched(ws, "mute", train, few)
    none = compared(ws, capsys, "a", "every")
    assert none["relabelled"]["untouched"] is None and "cannot be said" in none["texts"][-1]
    one = compared(ws, capsys, "a", "most")
    assert one["relabelled"]["untouched"]["n"] == 1 and one["relabelled"]["untouched"]["verdict"] is None
    assert "fewer than two prompts" in one["texts"][-1]
    five = compared(ws, capsys, "a", "few")
    assert five["relabelled"]["untouched"]["verdict"]["accuracy_verdict"] == "same"
    assert "With 5 pairs, only differences of about" in " ".join(five["texts"])
    assert "not known for mute" in compared(ws, capsys, "a", "mute")["texts"][-1]


def test_a_log_that_lost_a_line_is_not_believed(ws, capsys, files):
    train, val = files
    version = relabel(capsys, val, "--flip", "p1", "p2")
    log = ws.root / version.replace(".jsonl", ".changes")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    launched(ws, "a", train, val, scores(1))
    launched(ws, "b", train, version, scores(2))
    found = compared(ws, capsys, "a", "b")
    assert found["relabelled"]["untouched"] is None and found["relabelled"]["val"]["flipped"] is None
    assert "cannot be used" in found["texts"][-1] and log.name in found["texts"][-1]
