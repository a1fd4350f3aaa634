"""Presets: A, B and C say what the guide says; saving keeps comments and spelling; wrong values are all named."""

from __future__ import annotations

import tomllib

import pytest

from rmtui import presets
from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.workspace import Workspace
from trainer.config import build

GUIDE = {
    "A": (3, 1.5e-5, 4, 2, 32, 64, 0.1),
    "B": (2, 2e-5, 4, 2, 32, 64, 0.1),
    "C": (3, 1.5e-5, 6, 2, 32, 64, 0.15),
}


@pytest.mark.parametrize("name", GUIDE)
def test_the_shipped_presets_hold_the_guides_figures(ws: Workspace, name: str) -> None:
    c = build(presets.find(ws, name).config)
    found = (c.num_epochs, c.learning_rate, c.batch_size, c.gradient_accumulation_steps)
    assert (*found, c.lora.r, c.lora.alpha, c.lora.dropout) == GUIDE[name]
    assert (c.lr_scheduler, c.warmup_ratio) == ("linear", 0.1)


def test_only_a_has_expectations(ws: Workspace) -> None:
    (a, b, c, m), wrong = presets.all_presets(ws)
    assert not wrong
    assert a.expect == {"train_loss": (0.55, 0.60), "val_loss": (0.55, 0.58), "val_acc": (0.73, 0.76)}
    assert b.expect == c.expect == m.expect == {}


def test_m_is_a_modern_start(ws: Workspace) -> None:
    m = presets.find(ws, "m")
    made = build(dict(m.config))
    assert (made.learning_rate, made.num_epochs, made.best_metric) == (1e-4, 1, "val_loss")
    assert made.eval_at_start and made.eval_per_epoch == 10
    assert made.batch_size * made.gradient_accumulation_steps == 64
    assert presets.spellings(m)["eval_at_start"] == "true"


@pytest.mark.parametrize("text", ["A", "a", "a-conservative", "A-CONSERVATIVE", "presets/a-conservative.toml"])
def test_a_preset_is_found_by_letter_stem_and_path(ws: Workspace, text: str) -> None:
    assert presets.find(ws, text).title == "conservative"


def test_an_unknown_preset_names_those_there_are(ws: Workspace) -> None:
    with pytest.raises(UserError, match=r"there is no preset D.*a, b, c"):
        presets.find(ws, "D")


def test_saving_changes_the_value_and_nothing_else(ws: Workspace) -> None:
    before = presets.find(ws, "A")
    after = presets.save(before, {"learning_rate": "1e-5", "lora.dropout": "0.20", "num_epochs": "4"})
    old, new = before.text.splitlines(), after.path.read_text().splitlines()
    changed = [(was, now) for was, now in zip(old, new, strict=True) if was != now]
    assert [now.split("#")[0].strip() for _, now in changed] == [
        "num_epochs = 4",
        "learning_rate = 1e-5",
        "dropout = 0.20",
    ]
    assert all(was.partition("#")[2] == now.partition("#")[2] for was, now in changed)
    assert presets.find(ws, "A").config["learning_rate"] == 1e-5
    assert presets.spellings(after)["learning_rate"] == "1e-5"


def test_a_key_that_the_file_lacked_is_added(ws: Workspace) -> None:
    saved = presets.save(
        presets.find(ws, "B"), {"seed": "7", "lora.target_modules": "q_proj, v_proj", "method": "full"}
    )
    assert tomllib.loads(saved.text)["seed"] == 7
    assert saved.config["lora"]["target_modules"] == ["q_proj", "v_proj"]
    assert saved.config["method"] == "full"
    assert saved.name == "B"


@pytest.mark.parametrize(
    ("typed", "number"), [(".00002", 2e-5), ("2E-05", 2e-5), ("+2e-5", 2e-5), ("1_0e-6", 1e-5), ("1", 1.0)]
)
def test_spellings_that_toml_does_not_know_keep_their_value(ws: Workspace, typed: str, number: float) -> None:
    saved = presets.save(presets.find(ws, "A"), {"learning_rate": typed})
    assert tomllib.loads(saved.text)["learning_rate"] == number


def test_wrong_values_are_all_named_and_nothing_is_written(ws: Workspace) -> None:
    preset = presets.find(ws, "A")
    with pytest.raises(UserError) as caught:
        presets.save(preset, {"learning_rate": "fast", "lora.r": "0", "no_such_key": "1", "num_epochs": "3"})
    for said in ("learning_rate: 'fast'", "lora.r: 0", "no_such_key: unknown key"):
        assert said in str(caught.value)
    assert preset.path.read_text() == preset.text


def test_a_wrong_file_names_file_key_and_remedy_of_every_problem(ws: Workspace) -> None:
    path = ws.presets / "mine.toml"
    path.write_text('name = "mine"\nlearning_rat = 1e-5\nnum_epochs = 0\n[lora]\nr = "big"\n[expect]\nval_acc = 0.7\n')
    with pytest.raises(UserError) as caught:
        presets.load(path)
    said = str(caught.value)
    assert said.count("mine.toml") >= 4
    for part in ("did you mean learning_rate", "num_epochs: 0 is out of range", "lora.r: 'big'", "expect.val_acc"):
        assert part in said


def test_a_file_that_is_no_toml(ws: Workspace) -> None:
    (ws.presets / "broken.toml").write_text("learning_rate = = 1\n")
    with pytest.raises(UserError, match=r"broken.toml.*line 1"):
        presets.find(ws, "broken")
    assert presets.find(ws, "A").name == "A"


def test_a_change_by_somebody_else_is_not_overwritten(ws: Workspace) -> None:
    preset = presets.find(ws, "A")
    assert not presets.changed_on_disk(preset)
    preset.path.write_text(preset.text.replace("num_epochs = 3 ", "num_epochs = 9 "))
    assert presets.changed_on_disk(preset)
    with pytest.raises(UserError, match="changed outside"):
        presets.save(preset, {"seed": "1"})
    assert presets.find(ws, "A").config["num_epochs"] == 9


def test_saving_under_another_name(ws: Workspace) -> None:
    made = presets.save_as(ws, presets.find(ws, "A"), "有用 long/../run", {"num_epochs": "4"}, title="longer")
    assert made.path.parent == ws.presets
    assert presets.find(ws, "有用 long/../run").config["num_epochs"] == 4
    assert presets.find(ws, "A").config["num_epochs"] == 3
    for taken in ("a", "有用 LONG/../run", "...", ""):
        with pytest.raises(UserError):
            presets.save_as(ws, presets.find(ws, "A"), taken, {})


@pytest.mark.parametrize(
    ("letter", "key", "value"), [("A", "num_epochs", "6"), ("B", "seed", "7"), ("C", "lora.r", "8")]
)
def test_another_preset_does_not_carry_the_words_of_the_first(ws: Workspace, letter: str, key: str, value: str) -> None:
    base = presets.find(ws, letter)
    made = presets.save_as(ws, base, "mine", {key: value})
    assert (made.title, made.purpose, made.expect) == ("", "", {})
    assert "expected" not in made.text and base.title not in made.text
    assert "[expect]" not in made.text and "[lora]" in made.text and "# pairs a process" in made.text


@pytest.mark.parametrize("changes", [{}, {"num_epochs": "3", "learning_rate": "0.000015"}])
def test_a_preset_of_the_same_values_keeps_them(ws: Workspace, changes: dict[str, str]) -> None:
    base = presets.find(ws, "A")
    made = presets.save_as(ws, base, "mine", changes)
    assert (made.title, made.purpose, made.expect) == (base.title, base.purpose, base.expect)


def test_two_files_of_one_name_are_ambiguous(ws: Workspace) -> None:
    (ws.presets / "other.toml").write_text('name = "a"\n')
    with pytest.raises(UserError, match="ambiguous"):
        presets.find(ws, "A")
    assert presets.find(ws, "other").config == {}


def test_a_file_that_cannot_be_used_hides_no_other_preset(ws, capsys):
    (ws.presets / "D.toml").write_text("learning_rat = 1e-5\n")
    (ws.presets / "E.toml").write_text("title =\n")
    assert main(["-C", str(ws.root), "presets"]) == 2
    printed = capsys.readouterr()
    assert [line.split("\t")[0] for line in printed.out.splitlines()[1:]] == ["A", "B", "C", "M"]
    assert "D.toml: learning_rat: unknown key; did you mean learning_rate?" in printed.err
    assert "E.toml is not valid TOML" in printed.err


def test_a_preset_made_from_another_keeps_no_reason_for_a_value_that_it_does_not_have(ws: Workspace) -> None:
    base = presets.find(ws, "A")
    assert "gets more of them" in base.text and "pairs a process" in base.text
    made = presets.save_as(ws, base, "mine", {"num_epochs": "2", "lora.dropout": "0.05"})
    text = made.path.read_text()
    assert "num_epochs = 2\n" in text and "gets more of them" not in text
    assert "pairs a process" in text and made.config["lora"]["dropout"] == 0.05
