"""Comparing runs: paired verdicts on real run folders, warnings, seeds, and the pages they are printed as."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from guide_cases import subject
from rich.style import Style
from scipy import stats
from support import START, config, make_run_folder, training

from rmtui.app.presentation.comparison import Comparison
from rmtui.app.widgets.glyphs import UNICODE
from rmtui.app.widgets.palette import Palette
from rmtui.cli import main
from rmtui.guide import comparison, comparison_tables
from rmtui.guide import paired_test as paired_tests
from rmtui.guide.comparison import Entry
from rmtui.guide.paired_test import paired_test
from rmtui.index.add_imported import add_imported
from rmtui.runs.model import Epoch
from rmtui.workspace import Workspace

PAIRS = 341


def rewards(right, swap=(), n=PAIRS, size=1.0):
    """`right` of n pairs are ranked right; those in `swap` are turned round."""
    sides = {f"p{i:04}": (size, 0.0) if i < right else (0.0, size) for i in range(n)}
    return {key: (b, a) if int(key[1:]) in swap else (a, b) for key, (a, b) in sides.items()}


def write(folder, found, name="epoch-3"):
    path = folder.path / "validation" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = [
        {"id": key, "chosen": a, "rejected": b, "chosen_tokens": 9, "rejected_tokens": 8}
        for key, (a, b) in found.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def compare(ws, capsys, *args):
    code = main(["-C", str(ws.root), "compare", *args])
    out = capsys.readouterr().out
    assert code == 0
    return json.loads(out) if "--json" in args else out


def test_a_small_difference_is_not_distinguishable_and_says_what_these_pairs_can_show(ws, capsys):
    # 35 mended, 25 broken of 341: +2.9 points.
    a, b = make_run_folder(ws, "a"), make_run_folder(ws, "b", config=config(lora={"dropout": 0.15}))
    write(a, rewards(240))
    write(b, rewards(240, swap={*range(25), *range(240, 275)}))
    document = compare(ws, capsys, "a", "b", "--json", "--lang", "en")
    verdict = document["paired"][0]["verdict"]
    assert (verdict["n"], verdict["mended"], verdict["broken"]) == (341, 35, 25)
    assert verdict["p"] == pytest.approx(stats.binomtest(25, 60, 0.5).pvalue)
    assert verdict["accuracy"]["delta"] == pytest.approx(10 / 341)
    assert verdict["accuracy"]["low"] < 0 < verdict["accuracy"]["high"]
    assert verdict["accuracy_verdict"] == "same"
    text = " ".join(document["paired"][0]["texts"])
    assert "+2.9 points" in text and "not distinguishable with 341 pairs" in text
    shows = 100 * verdict["detectable"]
    assert f"With 341 pairs, only differences of about {shows:.1f} points or more can be detected (80 % power)" in text
    a, b = stats.norm.ppf(0.975), stats.norm.ppf(0.8)
    turn, gap = 60 / 341, verdict["detectable"]
    connor = ((a * turn**0.5 + b * (turn - gap**2) ** 0.5) / gap) ** 2
    assert connor == pytest.approx(341, abs=1.5) and verdict["needed_pairs"] > 341
    said = {row["id"] for row in document["readings"][0]["readings"]}
    assert "val_acc_rose" not in said  # no sentence says more than the test
    events = training(accuracy=(0.66, 0.70, 0.77))
    write(make_run_folder(ws, "c", events=events), rewards(245))
    write(make_run_folder(ws, "d", events=events), rewards(300))
    page = compare(ws, capsys, "a", "c", "d", "--lang", "en")
    row = next(line for line in page.splitlines() if line.startswith("val_acc Δ"))
    assert "within chance" in row and "points, better" in row and row.index("within") < row.index("better")
    assert document["config"]["differs"] == {"lora.dropout": [0.1, 0.15]}
    assert document["config"]["same"]["lora.r"] == 32


@pytest.mark.parametrize(("forwards", "word"), [(True, "better"), (False, "worse")])
def test_a_wide_difference_has_its_direction(ws, capsys, forwards, word):
    one, two = make_run_folder(ws, "one"), make_run_folder(ws, "two")
    write(one, rewards(200))
    write(two, rewards(260))
    order = ("one", "two") if forwards else ("two", "one")
    paired = compare(ws, capsys, *order, "--json")["paired"][0]
    assert paired["verdict"]["accuracy_verdict"] == paired["verdict"]["loss_verdict"] == word
    difference = 60 * math.log((1 + math.exp(1)) / (1 + math.exp(-1))) / PAIRS
    assert paired["verdict"]["loss"]["delta"] == pytest.approx(-difference if forwards else difference)


def test_a_comparison_tests_its_pairs_once(ws, capsys, monkeypatch):
    """What `p` costs is paid once for each run against the first, whoever speaks of it: table, texts, readings."""
    made = []

    def counted(sums, test=paired_tests.sign_flip):
        made.append(sums)
        return test(sums)

    monkeypatch.setattr(paired_tests, "sign_flip", counted)
    for name, right in (("a", 230), ("b", 240), ("c", 250)):
        write(make_run_folder(ws, name), rewards(right))
    document = compare(ws, capsys, "a", "b", "c", "--json")
    assert len(made) == len(document["paired"]) == 2 and all(row["verdict"]["p"] for row in document["paired"])


def test_other_validation_pairs_are_warned_of_and_not_tested(ws, capsys):
    for name, mark in (("a", "bb"), ("b", "cc")):
        write(make_run_folder(ws, name, fingerprints={"train": "aa" * 32, "val": mark * 32}), rewards(200))
    document = compare(ws, capsys, "a", "b", "--json", "--lang", "en")
    assert document["paired"][0]["verdict"] is None and document["best"] is None
    assert "different pairs" in document["warnings"][0]
    said = compare(ws, capsys, "a", "b", "--lang", "en")
    assert said.count("different pairs") == 1


def test_no_figure_of_other_pairs_is_called_better(ws, capsys):
    from support import training

    for name, mark, last in (("a", "bb", 0.70), ("b", "cc", 0.80)):
        events = training(accuracy=(0.6, 0.65, last))
        make_run_folder(ws, name, events=events, fingerprints={"train": "aa" * 32, "val": mark * 32})
    rows = {line.split("  ")[0]: line for line in compare(ws, capsys, "a", "b", "--lang", "en").splitlines()}
    assert "+10.0 points" in rows["val_acc Δ"]
    for name in ("val_acc Δ", "val_loss Δ"):
        assert not {"better", "worse", "equal"} & set(rows[name].split())


def test_the_mean_of_two_seeds_stays_possible(ws, capsys):
    from support import training

    for seed, last in ((1, 0.70), (2, 0.90)):
        events = training(accuracy=(0.6, 0.65, last), start=START + seed)
        make_run_folder(ws, f"s{seed}", events=events, created=START + seed, config=config(seed=seed))
    rows = {found["metric"]: found for found in compare(ws, capsys, "s1", "s2", "--json")["seeds"]}
    assert (rows["val_acc"]["low"], rows["val_acc"]["high"]) == (0.0, 1.0)
    assert "0.0 % … 100.0 %" in rows["val_acc"]["text"]
    assert rows["val_loss"]["low"] >= 0.0


def test_another_seed_is_not_the_run_before(ws, capsys):
    for number, (name, changes) in enumerate({"wide": {"learning_rate": 2e-5}, "s1": {}, "s2": {}}.items()):
        make_run_folder(ws, name, created=START + 100 * number, config=config(seed=number, **changes))
    for name in ("s1", "s2"):
        assert main(["-C", str(ws.root), "advise", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["before"]["name"] == "wide"


def validation_file(ws, each):
    """A file of PAIRS rows, `each` of them to a question; returns the questions' number."""
    path = ws.root / "data" / "val.jsonl"
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"id": f"p{n:04}", "prompt": f"What is {n // each} squared?", "chosen": f"c{n}", "rejected": f"r{n}"}
        for n in range(PAIRS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return -(-PAIRS // each)


def test_pairs_of_one_prompt_are_not_tested_as_independent_ones(ws, capsys):
    """Records of older trainings name no prompt: the validation file does."""
    prompts = validation_file(ws, 11)
    data = {"data": {"val": "data/val.jsonl"}}
    a, b = make_run_folder(ws, "a", config=config(**data)), make_run_folder(ws, "b", config=config(seed=2, **data))
    write(a, rewards(220))
    write(b, rewards(242))  # two prompts turned, all 22 pairs of them
    document = compare(ws, capsys, "a", "b", "--json", "--lang", "en")
    verdict = document["paired"][0]["verdict"]
    assert (verdict["mended"], verdict["broken"], verdict["clusters"]) == (22, 0, prompts)
    assert stats.binomtest(22, 22).pvalue < 1e-6 and verdict["p"] == 0.5  # two prompts: two coins
    assert verdict["accuracy_verdict"] == "same" and verdict["accuracy"]["low"] <= 0
    assert f"341 pairs of {prompts} prompts" in " ".join(document["paired"][0]["texts"])


def test_the_prompt_that_a_training_recorded_outranks_the_file(ws, capsys):
    validation_file(ws, 1)
    for name, right in (("a", 200), ("b", 230)):
        folder = make_run_folder(ws, name, config=config(data={"val": "data/val.jsonl"}))
        write(folder, rewards(right))
        path = folder.path / "validation" / "epoch-3.jsonl"
        found = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**row, "cluster": row["id"][:4]}) + "\n" for row in found))
    verdict = compare(ws, capsys, "a", "b", "--json")["paired"][0]["verdict"]
    assert verdict["clusters"] == 35 and verdict["p"] == pytest.approx(0.25)  # three prompts turned


def test_imported_runs_get_no_paired_verdict(ws, capsys):
    write(make_run_folder(ws, "trained"), rewards(200))
    add_imported(ws, {"name": "log", "data": "helpful"}, [Epoch(1, 0.9, 0.6, 0.68)], {}, {"source": "x", "digest": "x"})
    document = compare(ws, capsys, "log", "trained", "--json", "--lang", "en")
    assert document["paired"][0]["verdict"] is None and "log" in document["paired"][0]["texts"][0]


def test_the_evaluation_can_be_chosen(ws, capsys):
    a, b = make_run_folder(ws, "a"), make_run_folder(ws, "b")
    for folder, right in ((a, 200), (b, 210)):
        write(folder, rewards(right), "epoch-1")
        write(folder, rewards(250), "epoch-3")
    assert compare(ws, capsys, "a", "b", "--json")["paired"][0]["verdict"]["mended"] == 0
    first = compare(ws, capsys, "a", "b", "--json", "--at", "epoch-1")
    assert first["paired"][0]["verdict"]["mended"] == 10 and first["runs"][0]["evaluation"] == "epoch-1"
    assert main(["-C", str(ws.root), "compare", "a", "b", "--at", "epoch-9"]) == 2
    assert "epoch-9" in capsys.readouterr().err


def test_torn_and_infinite_lines_are_left_out(ws, capsys):
    a, b = make_run_folder(ws, "a"), make_run_folder(ws, "b")
    write(a, rewards(200))
    write(b, rewards(200))
    with (b.path / "validation" / "epoch-3.jsonl").open("a") as file:
        file.write('{"id": "p9", "chosen": NaN, "rejected": 0}\n{"id": "p')
    assert compare(ws, capsys, "a", "b", "--json")["paired"][0]["verdict"]["n"] == PAIRS


def test_seeds_of_one_configuration_are_summarised_with_their_spread(ws, capsys):
    from support import training

    for seed, last in ((1, 0.70), (2, 0.72), (3, 0.77)):
        events = training(accuracy=(0.6, 0.65, last), start=START + seed)
        make_run_folder(ws, f"s{seed}", events=events, created=START + seed, config=config(seed=seed))
    rows = compare(ws, capsys, "s1", "s2", "s3", "--json")["seeds"]
    row = next(found for found in rows if found["metric"] == "val_acc")
    assert row["count"] == 3 and row["mean"] == pytest.approx(0.73) and row["deviation"] == pytest.approx(0.0360555)
    low, high = stats.t.interval(0.95, 2, 0.73, 0.0360555 / math.sqrt(3))
    assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-4)


@pytest.mark.parametrize("count", [1, 7])
def test_two_to_six_runs(ws, capsys, count):
    for number in range(count):
        make_run_folder(ws, f"r{number}", created=START + number)
    assert main(["-C", str(ws.root), "compare", *[f"r{number}" for number in range(count)]]) == 2
    assert "2 to 6" in capsys.readouterr().err


def entries():
    one = subject(
        [(0.9, 0.6, 0.68), (0.8, 0.58, 0.70)], name="one|two*", val_pairs=341, config={"seed": 1, "num_epochs": 2}
    )
    two = subject([(0.9, 0.61, None)], name="中文", config={"seed": 1, "num_epochs": 1})
    return [Entry(one), Entry(two)]


def test_markdown_can_be_pasted(capsys):
    page = comparison_tables.markdown(comparison.compare(entries()))
    assert "| num_epochs | 2 | 1 |" in page
    assert "one\\|two\\*" in page  # names are text, not Markdown
    for block in page.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        cells = {line.replace("\\|", "").count("|") for line in rows}
        assert len(cells) <= 1
    assert page.count("<details>") == page.count("</details>") == 2


def test_columns_align_with_chinese_names():
    page = comparison_tables.plain(comparison.compare(entries()))
    block = next(block for block in page.split("\n\n") if "train_loss last" in block)
    assert len({comparison_tables.width(line) for line in block.splitlines()[:3]}) == 1


@pytest.mark.parametrize("written", [comparison_tables.plain, comparison_tables.markdown])
def test_chinese_tables_have_no_english_words(written):
    page = written(comparison.compare(entries(), lang="zh"), lang="zh")
    words = set(re.findall(r"[A-Za-z]+[A-Za-z_.]*", page))
    assert not words & {"last", "best", "better", "worse", "points", "same", "differs", "figure", "epoch", "Every"}
    assert {"最后", "最佳", "相同"} <= set(re.findall(r"最后|最佳|相同", page)) and "变" in page


PALETTE = Palette(*[Style()] * 13, runs=(Style(),), fills=(None,))


@pytest.mark.parametrize(("right", "said"), [(243, "偶然？"), (300, "变好")])
def test_the_apps_table_is_chinese_too_and_calls_no_chance_better(right, said):
    runs = [
        Entry(
            subject([(0.9, 0.60, 0.70), (0.8, 0.58, found / PAIRS)], name=name, val_fingerprint="x"),
            "epoch-2",
            scored=True,
            test=paired_test(rewards(240), rewards(found)),
        )
        for name, found in (("a", 240), ("b", right))
    ]
    laid = Comparison(
        comparison.compare(runs, lang="zh"), Workspace(Path("/")), UNICODE, PALETTE, 120, True, "zh"
    ).rows()
    lines = [f"{lead}{words}" for lead, words in laid]
    assert said in next(line for line in lines if "最后" in line)
    assert not {"differs", "same", "last", "best", "epoch", "better"} & set(re.findall("[a-z]+", "\n".join(lines)))


def test_figures_are_aligned_by_epoch_and_unknown_ones_stay_unknown():
    document = comparison.compare(entries())
    assert [row["epoch"] for row in document["epochs"]] == [1, 2]
    assert document["epochs"][1]["val_loss"] == [0.58, None]
    assert document["summary"]["val_acc"]["last"] == [0.70, None]
    low, high = document["summary"]["val_acc"]["interval"][0]
    theirs = stats.binomtest(round(0.7 * 341), 341).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-3)
    assert document["best"]["by"] == "val_loss" and document["best"]["name"] == "one|two*"


def test_val_acc_decides_which_is_best_though_its_loss_is_higher():
    a = subject([(0.9, 0.55, 0.68)], name="a", val_fingerprint="x")
    b = subject([(0.9, 0.56, 0.72)], name="b", val_fingerprint="x")
    assert comparison.best([a, b], "en")["name"] == "b"


def test_ties_are_wrong_on_both_sides():
    a = {"x": (1.0, 1.0), "y": (2.0, 1.0)}
    b = {"x": (2.0, 1.0), "y": (1.0, 1.0)}
    found = paired_test(a, b)
    assert (found.accuracy.gained, found.accuracy.lost) == (1, 1)


def test_no_difference_at_all_needs_no_number_of_pairs():
    found = paired_test(rewards(200), rewards(200))
    assert (found.accuracy.p, found.accuracy.needed, found.accuracy.word, found.loss_word) == (
        1.0,
        None,
        "same",
        "same",
    )


def test_a_run_under_way_is_tested_at_the_epoch_that_both_reached(ws, capsys):
    a = make_run_folder(ws, "a")
    b = make_run_folder(ws, "b", events=[event for event in training() if event.epoch <= 1], outcome=None)
    write(a, rewards(240), "epoch-1")
    write(a, rewards(300), "epoch-3")
    write(b, rewards(240), "epoch-1")
    document = compare(ws, capsys, "a", "b", "--json")
    assert [run["evaluation"] for run in document["runs"]] == ["epoch-1", "epoch-1"]
    assert document["paired"][0]["verdict"]["mended"] == document["paired"][0]["verdict"]["broken"] == 0
    assert document["best"] is None
    assert document["summary"]["train_loss"]["change"][1] is None
    assert not [row["id"] for row in document["readings"][0]["readings"] if "rose" in row["id"] or "fell" in row["id"]]


def test_a_verdict_on_an_earlier_epoch_of_a_run_says_which(ws, capsys):
    long, short = make_run_folder(ws, "long"), make_run_folder(ws, "short", events=training(epochs=1, accuracy=(0.7,)))
    write(long, rewards(240), "epoch-1")
    write(long, rewards(300))
    write(short, rewards(240), "epoch-1")
    texts = compare(ws, capsys, "long", "short", "--at", "epoch-1", "--json", "--lang", "en")["paired"][0]["texts"]
    assert texts[0].startswith("long epoch-1 → short: ")


def test_settings_that_a_run_does_not_have_are_not_among_those_that_differ(ws, capsys):
    make_run_folder(ws, "ours", config=config(learning_rate=1e-5))
    make_run_folder(ws, "theirs", config={"learning_rate": 2e-5, "num_epochs": 3})
    page = compare(ws, capsys, "ours", "theirs", "--lang", "en")
    row = next(line for line in page.splitlines() if line.startswith("learning_rate"))
    assert row.split() == ["learning_rate", "1e-5", "2e-5"]
    (some,) = [line for line in page.splitlines() if line.startswith("known of some runs only: ")]
    assert "batch_size 4" in some and "warmup_ratio 0.1" in some and "learning_rate" not in some
    assert not [line for line in page.splitlines() if line.startswith("batch_size")]
    document = compare(ws, capsys, "ours", "theirs", "--json")
    assert document["config"]["differs"]["batch_size"] == [4, None], "the document has them as before"
    shown = "\n".join(text.plain for _, text in Comparison(document, ws, UNICODE, PALETTE, 78).rows())
    assert shown.index("1e-5") < shown.index("not in all") < shown.index("val_acc")
    unfolded = [text.plain for _, text in Comparison(document, ws, UNICODE, PALETTE, 78, unfold=True).rows()]
    assert next(line.split() for line in unfolded if "batch_size" in line)[-2:] == ["4", "?"]


def test_who_keeps_a_comparison_from_a_verdict_is_named(ws, capsys):
    make_run_folder(ws, "whole")
    make_run_folder(ws, "halted", events=training(epochs=1), outcome="killed", reason="rank 0 was killed (SIGKILL)")
    assert compare(ws, capsys, "whole", "halted", "--lang", "en").startswith("No run leads yet: not finished: halted.")
