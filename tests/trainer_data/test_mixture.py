"""Several training files: how often each pair comes up, what a limit keeps, how the options are written and planned."""

import json
from collections import Counter
from fractions import Fraction

import data_worlds as worlds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import make_workspace

from rmtui import presets
from rmtui.errors import UserError
from rmtui.launch import provenance
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from trainer import config as options
from trainer import held_out, mixture, pairs
from trainer.data import batches as packing
from trainer.data.pairset import DataError, PairShare, load_training
from trainer.model import toy

PAIRS = worlds.token_pairs(101)


def shares_of(*sizes_and_weights):
    made, start = [], 0
    for size, weight in sizes_and_weights:
        made.append(PairShare("x", start, size, mixture.DataSource("x", weight).drawn(size), weight))
        start += size
    return made


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0])), min_size=1, max_size=4
    ),
    st.integers(0, 99),
)
def test_epochs_walk_through_each_source_as_often_as_its_weight_says(sizes_and_weights, seed):
    shares = shares_of(*sizes_and_weights)
    epochs = 6
    drawn = [packing.epoch_pairs(shares, epoch, seed).tolist() for epoch in range(epochs)]
    assert {len(one) for one in drawn} == {sum(share.drawn for share in shares)}
    for share in shares:
        own = [[place for place in epoch if share.start <= place < share.start + share.pairs] for epoch in drawn]
        assert {len(epoch) for epoch in own} == {share.drawn}
        counts = Counter(place for epoch in own for place in epoch)
        passes = Fraction(epochs * share.drawn, share.pairs)
        every = [counts[place] for place in range(share.start, share.start + share.pairs)]
        assert max(every) - min(every) <= 1 and min(every) == passes // 1
    assert drawn == [packing.epoch_pairs(shares, epoch, seed).tolist() for epoch in range(epochs)]


def test_two_epochs_of_half_a_source_are_the_whole_of_it():
    (share,) = shares_of((30, 0.5))
    first, second = (packing.epoch_pairs([share], epoch, 1).tolist() for epoch in (0, 1))
    assert sorted(first + second) == list(range(30))


def test_ranks_together_hold_what_the_epoch_draws():
    shares = shares_of((60, 0.5), (41, 2.0))
    config = options.build({"batch_size": 3, "gradient_accumulation_steps": 2, "seed": 5})
    for world in (1, 2, 3):
        ranks = [
            packing.epoch_batches(PAIRS, config, 1, world, rank, packing.Layout(0, True, True), shares)
            for rank in range(world)
        ]
        found = sorted(place for rank in ranks for step in rank for micro in step.micro_batches for place in micro)
        assert found == sorted(packing.epoch_pairs(shares, 1, 5).tolist())


def test_one_source_of_weight_one_is_each_pair_once():
    config = options.build({"batch_size": 4})
    (batches,) = [packing.epoch_batches(PAIRS, config, 0, 1, 0, packing.Layout(0, True, True), shares_of((101, 1.0)))]
    assert sorted(place for step in batches for micro in step.micro_batches for place in micro) == list(range(101))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    sides = [(f"Question {n}?", f"Good answer {n}.", f"Bad answer {n}.") for n in range(60)]
    for name, part in {"a": sides[:30], "b": sides[30:50], "val": sides[50:]}.items():
        rows = [dict(zip(("prompt", "chosen", "rejected"), side, strict=True)) for side in part]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    toy.make_decoder(folder / "model", [text for side in sides for text in side], vocabulary=400, hidden=32, layers=1)
    return folder


def training(world, *sources, **changes):
    from transformers import AutoTokenizer

    document = {"data": {"source": [text.format(world) for text in sources]}, "token_cache": False, **changes}
    return load_training(AutoTokenizer.from_pretrained(world / "model"), options.build(document))


def test_the_files_of_a_mixture_are_loaded_one_after_the_other(world):
    found = training(world, "{}/a.jsonl;weight=0.5", "{}/b.jsonl;weight=2;limit=7")
    assert [(share.start, share.pairs, share.drawn) for share in found.shares] == [(0, 30, 15), (30, 7, 14)]
    assert (found.drawn, len(found), found.report.rows) == (29, 37, 50)


def test_a_limit_keeps_the_same_pairs_in_every_start_and_others_with_another_seed(world):
    ids = [[pair.id for pair in training(world, "{}/a.jsonl;limit=9", seed=seed).pairs] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2] and len(ids[0]) == 9


def test_the_fingerprint_follows_content_weight_and_limit(world):
    sources = [("{}/a.jsonl",), ("{}/a.jsonl;weight=2",), ("{}/a.jsonl;limit=29",), ("{}/b.jsonl",)]
    prints = {training(world, *one).report.fingerprint for one in sources}
    assert len(prints) == 4
    named = provenance.fingerprints({"source": [f"{world}/a.jsonl;weight=2"]})
    assert named["train"] == training(world, "{}/a.jsonl;weight=2").report.fingerprint


def test_a_bad_line_in_one_source_names_the_file(world, tmp_path):
    rows = ['{"prompt": "q", "chosen": "a"}', '{"prompt": "q", "chosen": "a", "rejected": "b"}']
    (tmp_path / "bad.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"bad\.jsonl.*\n.*line 1"):
        training(world, "{}/a.jsonl", f"{tmp_path}/bad.jsonl")


WRONG = [
    ("weight = 0", "above 0"),
    ('weight = "much"', "above 0"),
    ("limit = -3", "whole number"),
    ("limit = 2.5", "whole number"),
    ("wieght = 2", "source"),
]


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_a_wrong_source_is_refused_by_name(tmp_path, line, said):
    ws = make_workspace(tmp_path / "ws")
    (ws.presets / "mix.toml").write_text(f'name = "Mix"\n[[data.source]]\npath = "a.jsonl"\n{line}\n')
    with pytest.raises(UserError) as error:
        presets.find(ws, "Mix")
    assert said in str(error.value) and "data.source" in str(error.value)


def test_tables_and_lines_say_the_same():
    tables = {"data": {"source": [{"path": "a.jsonl", "weight": 0.5}, {"path": "b.csv", "limit": 10}, {"path": "c"}]}}
    texts = ["a.jsonl;weight=0.5", "b.csv;limit=10", "c"]
    assert options.build(tables).data.source == options.build({"data": {"source": texts}}).data.source == texts
    (problem,) = options.check({"data": {"source": ["a.jsonl", "a.jsonl;weight=2"]}})
    assert "named twice" in problem.what


def planned(ws, text, **request):
    (ws.presets / "mix.toml").write_text(f'name = "Mix"\n{text}')
    return plan(ws, LaunchRequest("Mix", **request))


SOURCES = '[[data.source]]\npath = "{0}/a.jsonl"\nweight = 0.5\n[[data.source]]\npath = "{0}/b.jsonl"\nlimit = 8\n'


def test_a_plan_counts_what_an_epoch_draws_and_checks_the_files_against_each_other(world, tmp_path):
    ws = make_workspace(tmp_path / "ws")
    made = planned(ws, SOURCES.format(world), val=str(world / "val.jsonl"), model=str(world / "model"))
    assert not made.errors, made.errors
    assert made.derived.train_pairs == 15 + 8
    assert made.spec["config"]["data"]["source"] == [f"{world}/a.jsonl;weight=0.5", f"{world}/b.jsonl;limit=8"]
    assert set(made.readings) == {"data.source[0]", "data.source[1]", "data.val"}
    leaking = planned(ws, SOURCES.format(world), val=str(world / "b.jsonl"), model=str(world / "model"))
    assert any("validation is training" in str(one) for one in leaking.problems)
    (tmp_path / "ws" / "twice.jsonl").write_text((world / "a.jsonl").read_text())
    text = SOURCES.format(world) + '[[data.source]]\npath = "twice.jsonl"\n'
    double = planned(ws, text, val=str(world / "val.jsonl"), model=str(world / "model"))
    assert any("duplicate" in one.what and "twice.jsonl" in one.key for one in double.warnings)


def test_a_training_file_on_the_command_line_goes_before_the_mixture_of_a_preset(world, tmp_path):
    ws = make_workspace(tmp_path / "ws")
    files = {"train": str(world / "a.jsonl"), "val": str(world / "val.jsonl"), "model": str(world / "model")}
    made = planned(ws, SOURCES.format(world), **files)
    assert (made.spec["config"]["data"]["source"], made.derived.train_pairs) == ([], 30)


def test_a_split_of_a_mixture_holds_the_same_prompts_out_of_every_source(world, tmp_path):
    ws = make_workspace(tmp_path / "ws")
    rows = [json.loads(line) for line in (world / "a.jsonl").read_text().splitlines()]
    other = [
        row | {"prompt": row["prompt"].upper(), "chosen": f"Other {place}."} for place, row in enumerate(rows[:20])
    ]
    (ws.root / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    text = f'[[data.source]]\npath = "{world}/a.jsonl"\nweight = 2\n[[data.source]]\npath = "c.jsonl"\n'
    made = planned(ws, text, split="0.3", model=str(world / "model"))
    assert not made.errors, made.errors
    data = made.spec["config"]["data"]
    assert data["source"][0] == f"{world}/a.jsonl#split=0.3,seed=42,part=train;weight=2"
    trained = [list(pairs.read_rows(mixture.parse(one).path)) for one in data["source"]]
    held = list(pairs.read_rows(data["val"]))
    assert len(held) + sum(map(len, trained)) == 50
    assert not {held_out.family(row) for row in held} & {held_out.family(row) for part in trained for row in part}
    assert {row.chosen.startswith("Other") for row in held} == {True, False}
    assert made.derived.train_pairs == 2 * len(trained[0]) + len(trained[1])
    assert not [one for one in made.problems if "leak" in one.what or "training data" in one.what], made.problems
    again = planned(ws, text.replace("a.jsonl", "a.jsonl#split=0.1,seed=1,part=train"), split="0.3")
    assert any("part of a split already" in one.what for one in again.errors)


def test_joined_validation_files_are_checked_one_by_one(world, tmp_path):
    ws = make_workspace(tmp_path / "ws")
    rows = (world / "val.jsonl").read_text()
    (tmp_path / "more.jsonl").write_text(rows.splitlines()[0] + '\n{"prompt": "Q?", "chosen": "x"}\n')
    joined = f"{world}/val.jsonl + {tmp_path}/more.jsonl"
    made = plan(ws, LaunchRequest("A", train=str(world / "a.jsonl"), val=joined))
    missing, twice = ([one for one in made.problems if kind in one.what] for kind in ("missing field", "duplicate"))
    assert missing[0].key == "data.val" and "line 2" in missing[0].what
    assert "line 1" in twice[0].what and not any("leak" in one.what for one in made.problems)
    assert made.readings["data.val"].pieces[1].path == tmp_path / "more.jsonl"


def test_a_source_that_is_not_there_is_named(world, tmp_path):
    ws = make_workspace(tmp_path / "ws")
    made = planned(ws, '[[data.source]]\npath = "nowhere.jsonl"\n', val=str(world / "val.jsonl"))
    assert [one.key for one in made.errors if one.key.startswith("data")] == ["data.source[0]"]
    assert "nowhere.jsonl does not exist" in str(made.errors) and made.derived is None


def test_the_rows_of_every_source_are_read_in_its_own_layout(world, tmp_path):
    (tmp_path / "s.csv").write_text("question,chosen,rejected\nWhy?,Since so.,No idea.\n")
    found = training(world, "{}/b.jsonl", f"{tmp_path}/s.csv")
    assert (len(found), found.report.layout.split(" + ")[1].split(":")[0]) == (21, "pairs in other names, CSV")
    assert pairs.fingerprint(tmp_path / "s.csv")


def test_a_preset_shows_its_sources_and_fields_in_a_form_and_keeps_tables_that_nobody_changed(tmp_path):
    ws = make_workspace(tmp_path / "ws")
    text = (
        'name = "Mix"\n[data]\nfields = {chosen = "up", rejected = "down"}\n'
        '[[data.source]]\npath = "a.jsonl"  # ours\nweight = 2\n[[data.source]]\npath = "b.csv"\n'
    )
    (ws.presets / "mix.toml").write_text(text)
    preset = presets.find(ws, "Mix")
    shown = presets.spellings(preset)
    assert shown["data.source"] == "a.jsonl;weight=2, b.csv" and shown["data.fields"] == "chosen=up, rejected=down"
    assert text.removeprefix('name = "Mix"\n') in presets.edited(preset, {"num_epochs": "3"}).replace(
        "num_epochs = 3\n", ""
    )
    changed = presets.parse(presets.edited(preset, {"data.source": "c.jsonl;limit=5, d"}), preset.path)
    assert options.build(changed.config).data.source == ["c.jsonl;limit=5", "d"]
