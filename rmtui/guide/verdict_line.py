"""The verdict on a run in one line: how its training went, its metrics, and the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rmtui.guide.model import Advice, Reading, Subject, changes, common_epoch
from rmtui.guide.sentences import origin_text, short, text
from rmtui.i18n import interval_text, signed_percent, translate

STANDINGS = (
    ("diverged", ("non_finite", "came_apart", "beyond_untrained")),
    ("overfitting", ("overfitting_turn", "overfitting_turn_alone", "overfitting_gap")),
    ("nothing_learned", ("stuck_at_ln2",)),
    ("under_trained", ("train_above_val",)),
)
"""Word → readings that call for it, worst first."""
COURSES = (
    ("no_clear_change", ("val_acc_unproven", "val_acc_climbs_unproven")),
    ("worse", ("val_acc_fell",)),
    ("improving", ("val_acc_rose", "val_acc_rose_though_loss")),
    ("flat", ("val_acc_flat",)),
)


def verdict(
    subject: Subject,
    before: Subject | None,
    readings: Sequence[Reading],
    steps: Sequence[Advice],
    lang: str = "en",
) -> str:
    """`Under-trained and improving: val_acc 68.3 → 71.1 % (±1.8), val_loss +2 %. Next: 3 epochs.`

    A run that was cut off begins with how to go on. Empty before the first metric. Where a single epoch is known, the
    run before is what it is held against, and named: `worse than demo at epoch 1: val_acc 87.5 → 64.7 %`.
    """
    scope = "epochs" if len(subject.known("val_acc")) > 1 else "runs"
    found = {item.id: item for item in readings if item.figures.get("scope", scope) == scope}
    rival = _rival(before, subject, lang) if before is not None and scope == "runs" else ""
    said, named = _standing(found, rival, lang)
    metrics = translate("verdict_word.comma", lang).join(_metrics(subject, before, found, "" if named else rival, lang))
    head = said or translate("verdict_word.no_verdict", lang)
    line = translate(
        "verdict_word.line" if metrics else "verdict_word.bare", lang, head=_capital(head), metrics=metrics
    )
    line = line if said or metrics else ""
    if not steps:
        return line
    if steps[0].id == "go_on":
        return " ".join(filter(None, (_capital(text(steps[0], lang)) + translate("verdict_word.stop", lang), line)))
    step = translate("verdict_word.next", lang, step=short(steps[0], lang))
    return f"{line}{'' if lang == 'zh' or not line else ' '}{step}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _rival(before: Subject, subject: Subject, lang: str) -> str:
    """`demo`, or `demo at epoch 1` where the two share no later epoch."""
    epoch = common_epoch(before, subject)
    name = before.run.name
    return (
        name if epoch in (None, before.last_epoch) else translate("verdict_word.at_epoch", lang, run=name, epoch=epoch)
    )


def _standing(found: Mapping[str, Reading], rival: str, lang: str) -> tuple[str, bool]:
    """`under-trained and improving`: how the training stands, and where its val_acc goes; with a rival, how it compares
    with that. Whether the rival was named."""
    standing = next((word for word, ids in STANDINGS if found.keys() & set(ids)), "")
    if standing == "diverged":
        return translate("verdict_word.diverged", lang), False
    course = next((word for word, ids in COURSES if found.keys() & set(ids)), "")
    moved = next((found[name] for word, ids in COURSES if word == course for name in ids if name in found), None)
    if moved is not None and moved.figures.get("within") is not None:
        course = "perhaps_improving" if course == "improving" else "no_clear_change"
    named = bool(rival and course)
    words = [translate(f"verdict_word.{standing}", lang)] if standing else []
    words += [translate(f"verdict_word.{'than_' if named else ''}{course}", lang, run=rival)] if course else []
    between = "comma" if course == "no_clear_change" else "and"
    return translate(f"verdict_word.{between}", lang).join(words), named


def _metrics(
    subject: Subject, before: Subject | None, found: Mapping[str, Reading], rival: str, lang: str
) -> list[str]:
    """val_acc over the run's epochs, else against the run before, with its interval; the change of val_loss. `rival`:
    what else has to be said of whom a change is measured from."""
    shown = []
    now = subject.newest("val_acc")
    known = [value for _, value in subject.known("val_acc")]
    against = changes(before, subject) if before else {}
    if now is not None:
        first = known[0] if len(known) > 1 else against["val_acc"].first if "val_acc" in against else None
        course = f"{100 * first:.1f} → " if first is not None else ""
        around = _around(found["val_acc_is"], lang) if "val_acc_is" in found else ""
        around = translate("verdict_word.around", lang, around=around) if around else ""
        shown.append(translate("verdict_word.accuracy", lang, metric="val_acc", course=course, now=now) + around)
    losses = [value for _, value in subject.known("val_loss")]
    if "beyond_untrained" in found:
        return [*shown, f"val_loss {losses[-1]:.3g}"]
    change = losses[-1] / losses[0] - 1 if len(losses) > 1 and losses[0] else None
    of_runs = change is None and "val_loss" in against
    change = against["val_loss"].share if of_runs else change
    if change is not None:
        shown.append(f"val_loss {signed_percent(change)}")
    if rival and shown and (of_runs or (now is not None and len(known) == 1 and "val_acc" in against)):
        shown[-1] += translate("verdict_word.against", lang, run=rival)
    return shown


def _around(accuracy: Reading, lang: str) -> str:
    """`±1.8, entered by hand`: the interval of val_acc, and where a value that was not measured comes from."""
    known, entered = accuracy.figures, origin_text(str(accuracy.figures.get("entered") or ""), lang)
    if not known.get("half"):
        return entered.lstrip("，, ")
    return interval_text(known["val_acc"], known["low"], known["high"]) + entered
