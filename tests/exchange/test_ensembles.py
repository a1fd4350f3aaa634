"""Logs of ensembles and of cross-validation: each member's own figures, and the whole's are no member's."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather

MEMBERS = {1: ((1, 0.66, 0.64, 0.61), (2, 0.60, 0.62, 0.65)), 2: ((1, 0.67, 0.65, 0.60), (2, 0.61, 0.63, 0.64))}


def figures(member: int, epoch: int) -> str:
    _, trained, loss, accuracy = MEMBERS[member][epoch - 1]
    return f"train_loss={trained}, val_loss={loss}, val_acc={accuracy}"


def in_turn(heading: str, end: str) -> str:
    blocks = [
        f"{heading.format(n)}\n" + "".join(f"Epoch {epoch}: {figures(n, epoch)}\n" for epoch in (1, 2)) for n in MEMBERS
    ]
    return "".join(blocks) + end + "\n"


def side_by_side(line: str, end: str) -> str:
    return "".join(
        "".join(line.format(n=n, epoch=epoch, figures=figures(n, epoch)) + "\n" for n in MEMBERS) + end + "\n"
        for epoch in (1, 2)
    )


def under_epochs(line: str, end: str) -> str:
    return "".join(
        f"Epoch {epoch}/2\n" + "".join(line.format(n) + figures(n, epoch) + "\n" for n in MEMBERS) + end + "\n"
        for epoch in (1, 2)
    )


LOGS = {
    "in turn": in_turn("=== Ensemble member {}/2 (seed 11) ===", "Ensemble: val_loss=0.55, val_acc=0.71"),
    "folds": in_turn("Fold {}", "Mean over folds: val_acc=0.645"),
    "averaged": in_turn("2026-01-05 10:00:00 INFO Training fold {} of 2", "Average val_acc: 0.645"),
    "Chinese": in_turn("第{}折", "平均 val_acc: 0.645"),
    "side by side": side_by_side("[model {n}] Epoch {epoch}: {figures}", "Ensemble val_acc=0.71"),
    "columns": side_by_side("epoch {epoch} | member {n} | {figures}", ""),
    "stamped": side_by_side("2026-01-05 10:00:00 INFO [seed {n}] epoch {epoch}: {figures}", ""),
    "under epochs": under_epochs("  member {}: ", "  ensemble: val_acc=0.71"),
    "headings under epochs": under_epochs("member {}\n", ""),
}


def read(tmp_path: Path, text: str) -> tuple[Foreign, ...]:
    path = tmp_path / "run.log"
    path.write_text(text)
    return gather([path]).runs


@pytest.mark.parametrize("kind", LOGS)
def test_each_member_is_a_run_with_its_own_figures(kind: str, tmp_path: Path) -> None:
    runs = read(tmp_path, LOGS[kind])
    rows = [[(one.epoch, one.train_loss, one.val_loss, one.val_acc) for one in run.epochs] for run in runs]
    assert rows == [list(wanted) for wanted in MEMBERS.values()]
    for run in runs:
        assert any("2 members or folds" in note for note in run.notes)
        whole = any(word in LOGS[kind] for word in ("nsemble: ", "nsemble val", "Mean", "Average", "平均"))
        assert any("of all members together" in note for note in run.notes) == whole


@pytest.mark.parametrize(
    "line",
    [
        "Epoch {}: train_loss=0.6, val_acc=0.6{} (saved model {})",
        "Epoch {}: train_loss=0.6, val_acc=0.6{}\nsaved model {}",
        "Epoch {}: train_loss=0.6, average val_acc=0.6{}\nmodel {} saved to out/",
    ],
)
def test_saved_models_are_no_members(line: str, tmp_path: Path) -> None:
    (run,) = read(tmp_path, "".join(line.format(n, n, n) + "\n" for n in (1, 2, 3)))
    assert [(one.epoch, one.val_acc) for one in run.epochs] == [(1, 0.61), (2, 0.62), (3, 0.63)]
    assert not any("members" in note for note in run.notes)
