"""The verdict on a run in one line: how its training stands, its metrics, and the next step."""

from __future__ import annotations

from collections.abc import Sequence

from rmtui.guide.model import Advice, Reading, Subject, changes
from rmtui.guide.sentences import text
from rmtui.i18n import changes_text, metric_text, signed_percent, translate

STANDINGS = (
    ("diverged", ("non_finite", "came_apart")),
    ("overfitting", ("overfitting_turn", "overfitting_turn_alone", "overfitting_gap")),
    ("nothing_learned", ("stuck_at_ln2",)),
    ("under_trained", ("train_above_val",)),
)
"""Word → readings that call for it, worst first."""
COURSES = (
    ("worse", ("val_acc_fell", "val_acc_not_climbing")),
    ("within_chance", ("val_acc_unproven", "val_acc_climbs_unproven")),
    ("improving", ("val_acc_rose", "val_acc_rose_though_loss", "val_acc_climbs", "val_acc_climbs_with_falls")),
    ("flat", ("val_acc_flat",)),
)


def verdict(
    subject: Subject, before: Subject | None, readings: Sequence[Reading], steps: Sequence[Advice], lang: str = "en"
) -> str:
    """`Under-trained and improving: val_acc 68.3 % → 71.1 %, val_loss +2 %. Next: num_epochs 3.`; empty before the
    first metric."""
    found = {item.id: item for item in readings}
    words = [
        translate(f"verdict_word.{word}", lang)
        for table in (STANDINGS, COURSES)
        for word in [next((word for word, ids in table if found.keys() & set(ids)), "")]
        if word
    ]
    metrics = list(_metrics(subject, before, found, lang))
    parts = []
    if words or metrics:
        head = translate("verdict_word.and", lang).join(words) or translate("verdict_word.no_verdict", lang)
        head = head[:1].upper() + head[1:]
        listed = translate("verdict_word.comma", lang).join(metrics)
        parts.append(
            translate("verdict_word.line" if metrics else "verdict_word.bare", lang, head=head, metrics=listed)
        )
    if steps:
        first = steps[0]
        what = changes_text(first.changes) or text(first, lang).rstrip(".。")
        parts.append(translate("verdict_word.next", lang, step=what))
    return " ".join(parts)


def _metrics(subject: Subject, before: Subject | None, found: dict[str, Reading], lang: str) -> list[str]:
    """val_acc over the run's epochs, else against the run before, with its interval; the change of val_loss."""
    shown = []
    now = subject.newest("val_acc")
    known = [value for _, value in subject.known("val_acc")]
    against = changes(before, subject) if before else {}
    if now is not None:
        first = known[0] if len(known) > 1 else against["val_acc"].first if "val_acc" in against else None
        half = found["val_acc_is"].figures.get("half") if "val_acc_is" in found else None
        course = f"{metric_text('val_acc', first)} → " if first is not None else ""
        shown.append(f"val_acc {course}{metric_text('val_acc', now)}" + (f" (±{100 * half:.1f})" if half else ""))
    losses = [value for _, value in subject.known("val_loss")]
    change = losses[-1] / losses[0] - 1 if len(losses) > 1 and losses[0] else None
    if change is None and "val_loss" in against:
        change = against["val_loss"].share
    if change is not None:
        shown.append(f"val_loss {signed_percent(change)}")
    return shown
