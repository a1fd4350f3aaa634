"""Training pairs that may be mislabelled, and versions of the data in which they are changed."""

from __future__ import annotations

import json
import random

import pytest

from rmtui.cli import main
from rmtui.guide import cross_fit
from rmtui.guide.bag_of_words import fit_words
from rmtui.guide.cross_fit import cross_fitted, folds
from trainer.clusters import words
from trainer.pairs import Row, fingerprint, read_rows

FILLER = [f"word{n}" for n in range(30)]


def rows(count=300, wrong=(), seed=1):
    """The chosen answer says `kind`, the rejected one `rude`; at `wrong` the label is the other way round."""
    draw, made = random.Random(seed), []
    for n in range(count):
        sides = [" ".join([*draw.choices(FILLER, k=8), mark]) for mark in ("kind", "rude")]
        chosen, rejected = reversed(sides) if n in wrong else sides
        made.append({"id": f"p{n}", "prompt": f"About {FILLER[n % 30]} {n}?", "chosen": chosen, "rejected": rejected})
    return made


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def run(capsys, *argv, code=0):
    assert main([str(one) for one in argv]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if "--json" in argv and not code else out + err


def read(path):
    return {row.id: row for row in read_rows(path) if isinstance(row, Row)}


def test_folds_hold_whole_clusters_and_every_pair_once():
    clusters = {f"p{n}": f"g{n % 7}" for n in range(100)} | {"alone": "h"}
    made = folds(clusters, 3, 5)
    assert sorted(key for fold in made for key in fold) == sorted(clusters)
    at = {key: place for place, fold in enumerate(made) for key in fold}
    assert all(at[one] == at[other] for one in clusters for other in clusters if clusters[one] == clusters[other])
    assert folds(clusters, 3, 5) == made != folds(clusters, 3, 6)
    assert len(folds({"a": "x", "b": "y"}, 5, 0)) == 2


def test_no_pair_is_judged_by_words_that_saw_its_group(monkeypatch):
    pairs = {f"p{n}": (f"good own{n // 2}", f"bad other{n // 2}") for n in range(40)}
    clusters = {key: f"g{n // 2}" for n, key in enumerate(pairs)}
    fitted, real = [], cross_fit.words_margin

    def fit(drawn, seed=0):
        fitted.append({word for pair in drawn for side in pair for word in words(side)})
        return fit_words(drawn, seed)

    def judge(weights, chosen, rejected):
        assert not {*words(chosen), *words(rejected)} - {"good", "bad"} & fitted[-1]
        return real(weights, chosen, rejected)

    monkeypatch.setattr(cross_fit, "fit_words", fit)
    monkeypatch.setattr(cross_fit, "words_margin", judge)
    assert cross_fitted(pairs, clusters, 4, 0).keys() == pairs.keys() and len(fitted) == 4


def test_what_was_turned_round_is_suspected_first(tmp_path, capsys):
    wrong = {7, 60, 111, 222}
    train = write(tmp_path / "train.jsonl", rows(wrong=wrong))
    found = run(capsys, "suspects", train, "--json", "--limit", "0")
    assert {one["id"] for one in found["suspects"]} == {f"p{n}" for n in wrong}
    assert found["accuracy"] == 296 / 300 and {one["line"] - 1 for one in found["suspects"]} == wrong
    assert all(max(one["margins"]) < 0 for one in found["suspects"])


def test_where_words_know_nothing_nobody_is_suspected(tmp_path, capsys):
    draw = random.Random(3)
    made = [{**row, "chosen": " ".join(draw.choices(FILLER, k=9))} for row in rows()]
    made = [{**row, "rejected": " ".join(draw.choices(FILLER, k=9))} for row in made]
    found = run(capsys, "suspects", write(tmp_path / "t.jsonl", made), "--json")
    assert found["suspects"] == [] and found["count"] == 0 and found["note"]
    assert "nobody is suspected" in run(capsys, "suspects", tmp_path / "t.jsonl")


def test_too_few_groups_and_folds_are_refused(tmp_path, capsys):
    few = write(tmp_path / "few.jsonl", [{**row, "prompt": f"Question {n % 3}?"} for n, row in enumerate(rows(30))])
    assert "3 groups" in run(capsys, "suspects", few, code=2)
    assert "1 folds" in run(capsys, "suspects", few, "--folds", "1", code=2)


def test_a_version_holds_the_changes_and_nothing_else(tmp_path, capsys):
    made = rows(12)
    made[3] |= {"chosen_model": "a", "rejected_model": "b", "margin": 2.0, "source": "s"}
    train = write(tmp_path / "helpful_pairs.jsonl", made)
    train.write_bytes(train.read_bytes().replace(b'"p5"', b'"p5"  '))
    before = train.read_bytes()
    done = run(capsys, "relabel", train, "--flip", "p3", "p4", "--tie", "p6", "--drop", "p8", "--json")
    assert train.read_bytes() == before
    version = tmp_path / f"helpful_pairs-{done['fingerprint'][:8]}.jsonl"
    assert done["path"] == str(version) and done["fingerprint"] == fingerprint(version) and done["pairs"] == 10
    assert (done["flipped"], done["tied"], done["dropped"], done["unrated"]) == (2, 1, 1, 1)
    old, new = read(train), read(version)
    assert set(old) - set(new) == {"p6", "p8"}
    for key in ("p3", "p4"):
        assert (new[key].chosen, new[key].rejected) == (old[key].rejected, old[key].chosen)
    assert new["p3"].margin is None and new["p3"].fields == {"chosen_model": "b", "rejected_model": "a", "source": "s"}
    lines = before.splitlines()
    untouched = [line for n, line in enumerate(lines) if n not in (3, 4, 6, 8)]
    assert [line for line in version.read_bytes().splitlines() if line in lines] == untouched
    tied = [line for line in version.read_text().splitlines() if '"p6"' in line]
    assert len(tied) == 1 and made[6]["chosen"] in tied[0]
    head, *changes = map(json.loads, (tmp_path / f"{version.stem}.changes").read_text().splitlines())
    assert head["source_fingerprint"] == fingerprint(train) and head["fingerprint"] == done["fingerprint"]
    assert {one["id"]: one["action"] for one in changes} == {"p3": "flip", "p4": "flip", "p6": "tie", "p8": "drop"}
    assert all(one["was"] == made[one["line"] - 1] for one in changes)


def test_flipping_twice_is_the_file_again_and_the_name_does_not_grow(tmp_path, capsys):
    train = write(tmp_path / "t.jsonl", rows(12))
    once = run(capsys, "relabel", train, "--flip", "p3", "--json")
    twice = run(capsys, "relabel", once["path"], "--flip", "p3", "--json")
    assert twice["fingerprint"] == fingerprint(train)
    assert twice["path"] == str(tmp_path / f"t-{twice['fingerprint'][:8]}.jsonl")


def test_a_version_may_be_named(tmp_path, capsys):
    train, out = write(tmp_path / "t.jsonl", rows(12)), tmp_path / "new" / "mine.jsonl"
    done = run(capsys, "relabel", train, "--tie", "p3", "--out", out, "--json")
    assert done["path"] == str(out) and len(read(out)) == 11
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine.changes", "mine.jsonl"]


def test_pairs_without_an_id_keep_the_one_they_were_named_by(tmp_path, capsys):
    made = [{key: value for key, value in row.items() if key != "id"} for row in rows(12)]
    train = write(tmp_path / "t.jsonl", [*made, made[0]])
    key, again = list(read(train))[4], f"{next(iter(read(train)))}~2"
    done = run(capsys, "relabel", train, "--flip", key, "--drop", again, "--json")
    assert read(done["path"])[key].chosen == made[4]["rejected"] and done["pairs"] == 12


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "no pair is marked"),
        (("--flip", "nobody"), "holds no pair nobody"),
        (("--flip", "p1", "--drop", "p1"), "p1 is marked twice"),
        (("--drop", *(f"p{n}" for n in range(12))), "no pair would be left"),
        (("--marks", "gone.jsonl"), "gone.jsonl"),
        (("--flip", "p1", "--out", "{train}"), "is there already"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(tmp_path, capsys, argv, said):
    train = write(tmp_path / "t.jsonl", rows(12))
    assert said in run(capsys, "relabel", train, *(one.format(train=train) for one in argv), code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ('{"id": "p12", "prompt": "q"', "JSON"),
        ('{"id": "p12", "prompt": "q", "chosen": "a"}', "rejected"),
        ('["p12"]', "object"),
    ],
)
@pytest.mark.parametrize("key", ["p1", "p12", "p13"])
def test_a_broken_line_is_named_with_what_is_wrong(tmp_path, capsys, broken, what, key):
    train = write(tmp_path / "t.jsonl", rows(12))
    train.write_text(train.read_text() + "\n" + broken + "\n" + json.dumps(rows(14)[13]) + "\n" + "{\n")
    said = run(capsys, "relabel", train, "--flip", key, code=2)
    assert f"{train} cannot be relabelled" in said and "line 14 holds no pair" in said and what in said
    assert "the first of 2 such lines" in said and "rmtui check" in said
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_the_same_changes_again_do_not_write_over_the_version(tmp_path, capsys):
    train = write(tmp_path / "t.jsonl", rows(12))
    done = run(capsys, "relabel", train, "--drop", "p3", "--json")
    assert "is there already" in run(capsys, "relabel", train, "--drop", "p3", code=2)
    assert "is there already" in run(capsys, "relabel", train, "--tie", "p3", code=2)
    assert len(read(done["path"])) == 11 and len(list(tmp_path.iterdir())) == 3


def test_marks_go_from_suspects_through_a_person_to_a_version(tmp_path, capsys):
    train, marks = write(tmp_path / "t.jsonl", rows(wrong={7, 60})), tmp_path / "marks.jsonl"
    assert "2 pairs are in" in run(capsys, "suspects", train, "--export", marks)
    assert "no pair is marked" in run(capsys, "relabel", train, "--marks", marks, code=2)
    marks.write_text(marks.read_text().replace('"keep", "id": "p7"', '"flip", "id": "p7"'))
    done = run(capsys, "relabel", train, "--marks", marks, "--json")
    assert (done["flipped"], done["pairs"]) == (1, 300) and "kind" in read(done["path"])["p7"].chosen
    marks.write_text(marks.read_text().replace('"keep"', '"turn"'))
    assert "is no mark" in run(capsys, "relabel", train, "--marks", marks, code=2)


def test_another_layout_becomes_plain_pairs(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("prompt,chosen,rejected\n" + "".join(f"q{n},good {n},bad {n}\n" for n in range(5)))
    key = list(read(table))[2]
    done = run(capsys, "relabel", table, "--flip", key, "--json")
    assert done["path"].endswith(".jsonl") and read(done["path"])[key].chosen == "bad 2"
