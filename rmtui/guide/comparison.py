"""Two to six runs side by side: what differs in their configuration, their metrics aligned, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from rmtui.guide import paired_test, relabelled, settings_test
from rmtui.guide.model import Change, Reading, Subject, common_epoch, interval_of, metric_of
from rmtui.guide.paired_test import PairedTest, Spread
from rmtui.guide.published_figures import METRICS, better
from rmtui.guide.readings import read
from rmtui.guide.relabelled import Relabelled
from rmtui.guide.sentences import origin_text, text
from rmtui.guide.settings_test import SettingsTest
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.i18n import metric_text, translate
from rmtui.runs.model import Run
from trainer.config import flatten

if TYPE_CHECKING:
    from rmtui.documents.guide import (
        BestRun,
        ChangeDocument,
        ComparedMetric,
        CompareDocument,
        ComparedReadings,
        ComparedRun,
        ConfigComparison,
        EpochRow,
        PairedDocument,
        ReadingDocument,
        SeedsDocument,
    )
    from rmtui.documents.scalars import Metric
    from trainer.values import Value

MOST = 6
OTHER_SET = "other_set"
"""In place of a verdict: the metrics are of other pairs."""
PLACES = ("data.train", "data.val", "data.extra_val", "data.test")
"""The place of files does not distinguish configurations; their fingerprints do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in a comparison, and what the pairs of one of its evaluations say."""

    subject: Subject
    evaluation: str = ""
    """Which evaluation was tested: epoch-3."""
    scored: bool = False
    """Are rewards of single pairs known?"""
    test: PairedTest | None = None
    """Against the first run; None for that run itself, on other pairs, and where single pairs are not known of both."""
    settings: SettingsTest | None = None
    """All seeds of its setting against the first run's; None where `test` is, and between seeds of one setting."""
    relabelled: Relabelled | None = None
    """Its pairs against the first run's; None where no log of `relabel` has to do with them."""


def compare(entries: Sequence[Entry], limits: Thresholds = DEFAULT, lang: str = "en") -> CompareDocument:
    """The document of `compare --json`. Every Δ is against the first run."""
    subjects = [entry.subject for entry in entries]
    paired = [_paired(entries[0], other, limits, lang) for other in entries[1:]]
    verdicts = [_words(entries[0], other) for other in entries[1:]]
    top = best(subjects, lang)
    if top:
        top["text"] = _lead(entries, top, lang)
    return {
        "runs": [_run(entry) for entry in entries],
        "config": config_table(subjects),
        "epochs": epoch_table(subjects),
        "summary": {metric: _summary(subjects, metric, limits, verdicts) for metric in METRICS},
        "best": top,
        "lead": top["text"] if top else _no_leader(subjects, lang),
        "next": "",
        "paired": paired,
        "seeds": _seeds(subjects, limits, lang),
        "warnings": warnings(subjects, lang),
        "readings": [_against(entries[0], other, limits, lang) for other in entries[1:]],
    }


def _run(entry: Entry) -> ComparedRun:
    run = entry.subject.run
    return {
        "id": run.id,
        "name": run.name,
        "state": str(run.state),
        "preset": run.preset,
        "data": run.data,
        "val_fingerprint": run.val_fingerprint,
        "evaluation": entry.evaluation or None,
    }


def config_table(subjects: Sequence[Subject]) -> ConfigComparison:
    """Keys that differ with each run's value (None: not known), and keys on which all agree."""
    flat = [flatten(subject.run.config) for subject in subjects]
    keys = list(dict.fromkeys(key for document in flat for key in document if key not in PLACES))
    differs: dict[str, list[Value]] = {}
    same: dict[str, Value] = {}
    for key in keys:
        values = [document.get(key) for document in flat]
        if all(value == values[0] for value in values):
            same[key] = values[0]
        else:
            differs[key] = values
    return {"differs": differs, "same": same}


def split_unknown(differs: Mapping[str, list[Value]]) -> tuple[dict[str, list[Value]], dict[str, list[Value]]]:
    """Of settings that differ: those of which two runs have different values, and those of which only some runs have a
    value, the same one."""
    known = {key: [value for value in values if value is not None] for key, values in differs.items()}
    apart = {key for key, values in known.items() if any(value != values[0] for value in values)}
    return (
        {key: values for key, values in differs.items() if key in apart},
        {key: values for key, values in differs.items() if key not in apart},
    )


def epoch_table(subjects: Sequence[Subject]) -> list[EpochRow]:
    """A row an epoch: each metric as a list, one value a run."""
    by_epoch = [{row.epoch: row for row in subject.run.epochs} for subject in subjects]

    def values(epoch: int, metric: Metric) -> list[float | None]:
        return [metric_of(rows[epoch], metric) if epoch in rows else None for rows in by_epoch]

    return [
        {
            "epoch": epoch,
            "train_loss": values(epoch, "train_loss"),
            "val_loss": values(epoch, "val_loss"),
            "val_acc": values(epoch, "val_acc"),
        }
        for epoch in sorted({epoch for rows in by_epoch for epoch in rows})
    ]


def _summary(
    subjects: Sequence[Subject], metric: Metric, limits: Thresholds, verdicts: Sequence[Mapping[str, str]]
) -> ComparedMetric:
    last = [subject.newest(metric) for subject in subjects]
    bests = [subject.best for subject in subjects]
    document: ComparedMetric = {
        "last": last,
        "best": [subject.at_best(metric) for subject in subjects],
        "best_epoch": [None if best is None or best.epoch is None else best.epoch for best in bests],
        "change": [
            _change(metric, last[0], value, said.get(metric)) if same_stage([subjects[0], subject]) else None
            for subject, value, said in zip(subjects, last, [{}, *verdicts], strict=True)
        ],
    }
    if metric == "val_acc":
        document["interval"] = [
            _interval(subject, value, limits) for subject, value in zip(subjects, last, strict=True)
        ]
    return document


def _change(metric: str, first: float | None, last: float | None, verdict: str | None) -> ChangeDocument | None:
    """`better` is the sign of the change; `verdict` is what the test of the pairs says of it, None without one."""
    if first is None or last is None:
        return None
    change = Change(metric, first, last)
    return {"delta": change.delta, "percent": change.share, "better": change.better, "verdict": verdict}


def _words(first: Entry, other: Entry) -> dict[str, str]:
    """Metric → better, worse or same, where the pairs tested are those of both runs' last epochs; of other pairs,
    other_set."""
    if same_set([first.subject, other.subject]) is False:
        return {"val_acc": OTHER_SET, "val_loss": OTHER_SET}
    if other.test is None or any(entry.evaluation != f"epoch-{entry.subject.last_epoch}" for entry in (first, other)):
        return {}
    return {"val_acc": other.test.accuracy.word, "val_loss": other.test.loss_word}


def _interval(subject: Subject, value: float | None, limits: Thresholds) -> list[float] | None:
    around = interval_of(subject.run, value, limits.level)
    return None if around is None else [around.low, around.high]


def same_stage(subjects: Sequence[Subject]) -> bool:
    """May last metrics be held against each other? Not while an unfinished run is at another epoch than the rest."""
    epoch = common_epoch(*subjects)
    return epoch is None or all(subject.last_epoch == epoch for subject in subjects)


def same_set(subjects: Sequence[Subject]) -> bool | None:
    """Were all validated on the same pairs? None where it is not known of each."""
    prints = [subject.run.val_fingerprint for subject in subjects]
    known = {found for found in prints if found}
    if len(known) > 1:
        return False
    return True if all(prints) else None


def best(subjects: Sequence[Subject], lang: str) -> BestRun | None:
    """Which run is best, and by what: by their best evaluations, val_acc where all have it, else val_loss alone.

    None on different validation sets, while an unfinished run is at another epoch, and where all are equal.
    """
    if same_set(subjects) is False or not same_stage(subjects):
        return None
    by: tuple[tuple[Literal["val_acc", "val_loss"], str], ...]
    by = (("val_acc", "verdict.best"), ("val_loss", "verdict.best_by_loss"))
    for metric, sentence in by:
        values = [subject.at_best(metric) for subject in subjects]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or len(set(known)) < 2:
            continue
        top = max(known) if better(metric, 1.0) else min(known)
        run = subjects[values.index(top)].run
        said = translate(sentence, lang, run=run.name, metric=metric, value=metric_text(metric, top))
        return {"run": run.id, "name": run.name, "by": metric, "value": top, "text": said}
    return None


def _no_leader(subjects: Sequence[Subject], lang: str) -> str:
    if same_set(subjects) is False:
        return translate("verdict.other_pairs", lang)
    if same_stage(subjects):
        return translate("verdict.nobody_leads", lang)
    names = ", ".join(subject.run.name for subject in subjects if subject.unfinished)
    return translate("verdict.other_stage", lang, runs=names)


def _lead(entries: Sequence[Entry], top: BestRun, lang: str) -> str:
    """Who leads, by what metric, at which epoch, against whom, and whether the pairs prove it."""
    metric, sign = top["by"], 1 if top["by"] == "val_acc" else -1
    leader = next(entry for entry in entries if entry.subject.run.id == top["run"])
    others = [entry for entry in entries if entry is not leader]
    second = max(others, key=lambda entry: sign * (entry.subject.at_best(metric) or 0.0))
    tested = [entry for entry in (leader, second) if entry is not entries[0]]
    proof = "untested"
    if len(tested) == 1 and tested[0].test is not None and all(map(_at_best, (leader, second))):
        word = tested[0].test.accuracy.word if metric == "val_acc" else tested[0].test.loss_word
        proof = "within_chance" if word == "same" else "proven"
    at = leader.subject.best
    values = {
        "run": top["name"],
        "metric": metric,
        "value": metric_text(metric, top["value"]),
        "other": second.subject.run.name,
    }
    ahead = abs(top["value"] - (second.subject.at_best(metric) or 0.0))
    by = metric_text(metric, ahead) if metric != "val_acc" else translate("verdict.by_points", lang, by=ahead)
    values["by"] = by
    values["second"] = metric_text(metric, second.subject.at_best(metric))
    values["epoch"] = f"{at.epoch:.3g}" if at and at.epoch is not None else "?"
    return translate("verdict.leads", lang, **values, proof=translate(f"verdict.{proof}", lang))


def _at_best(entry: Entry) -> bool:
    at = entry.subject.best
    return at is not None and at.epoch is not None and entry.evaluation == f"epoch-{at.epoch:g}"


def _paired(first: Entry, other: Entry, limits: Thresholds, lang: str) -> PairedDocument:
    """The verdict on `other` against the first run, or why there is none; then what relabelling has to do with it."""
    found = _tested(first, other, limits, lang)
    if other.relabelled is not None:
        scored = first.scored, other.scored
        found["relabelled"] = relabelled.document(other.relabelled)
        found["texts"] += relabelled.texts(other.relabelled, _at(first), _at(other), scored, lang, limits)
        keys = [
            key for key in split_unknown(config_table([first.subject, other.subject])["differs"])[0] if key != "seed"
        ]
        if other.relabelled.train.difference is not None and keys:
            found["texts"].append(translate("relabelled.not_alone", lang, keys=", ".join(keys)))
    return found


def _tested(first: Entry, other: Entry, limits: Thresholds, lang: str) -> PairedDocument:
    a, b, test = first.subject.run.name, other.subject.run.name, other.test
    if same_set([first.subject, other.subject]) is False:
        return {"a": a, "b": b, "verdict": None, "texts": [translate("verdict.other_set", lang, a=a, b=b)]}
    if test is None and first.scored and other.scored:
        return {"a": a, "b": b, "verdict": None, "texts": [translate("verdict.too_few", lang, a=a, b=b)]}
    if test is None:
        missing = [entry.subject.run.name for entry in (first, other) if not entry.scored] or [a, b]
        said = translate("verdict.no_pairs", lang, a=a, b=b, missing=", ".join(missing))
        return {"a": a, "b": b, "verdict": None, "texts": [said]}
    texts = paired_test.texts(test, _at(first), _at(other), lang, limits)
    found: PairedDocument = {"a": a, "b": b, "verdict": paired_test.document(test), "texts": texts}
    if other.settings is not None:
        said = settings_test.format_settings(other.settings, a, b, lang)
        found["settings"] = settings_test.document(other.settings, said)
        texts.append(said)
    return found


def _at(entry: Entry) -> str:
    """A run's name, with the evaluation that was compared where the run went on after it."""
    run, (kind, _, number) = entry.subject.run, entry.evaluation.partition("-")
    went_on = kind == "epoch" and int(number) < int(run.epochs_done or 0)
    return f"{run.name} {entry.evaluation}" if went_on else run.name


def _seeds(subjects: Sequence[Subject], limits: Thresholds, lang: str) -> list[SeedsDocument]:
    """Runs that differ in nothing but their seed, summarised with their spread."""
    found = []
    for _, members in groupby(sorted(subjects, key=_seedless), key=_seedless):
        group = list(members)
        for metric in METRICS:
            values = [value for subject in group if (value := subject.newest(metric)) is not None]
            if (
                len(group) > 1
                and same_stage(group)
                and (spread := paired_test.seed_spread(metric, values, limits.level))
            ):
                found.append(_spread(group, spread, lang))
    return found


def seedless(run: Run) -> str:
    """What has to be equal for runs to be seeds of one configuration; a run without a known seed is alone."""
    config = {key: value for key, value in flatten(run.config).items() if key not in PLACES}
    alone = "" if "seed" in config else run.id
    config.pop("seed", None)
    return json.dumps([alone, run.data, run.val_fingerprint, config], sort_keys=True, default=str)


def _seedless(subject: Subject) -> str:
    return seedless(subject.run)


def _spread(group: Sequence[Subject], spread: Spread, lang: str) -> SeedsDocument:
    run = group[0].run
    # Student's interval knows no bounds: with two seeds it would reach beyond 100 %.
    low, high = max(0.0, spread.mean.low), spread.mean.high
    high = min(1.0, high) if spread.metric == "val_acc" else high
    shown = {
        name: metric_text(spread.metric, value)
        for name, value in (
            ("mean", spread.mean.value),
            ("spread", spread.deviation),
            ("low", low),
            ("high", high),
        )
    }
    sentence = translate(
        "verdict.seeds", lang, group=run.preset or run.name, count=spread.count, metric=spread.metric, **shown
    )
    return {
        "runs": [subject.run.id for subject in group],
        "metric": spread.metric,
        "count": spread.count,
        "mean": spread.mean.value,
        "deviation": spread.deviation,
        "low": low,
        "high": high,
        "text": sentence,
    }


def warnings(subjects: Sequence[Subject], lang: str) -> list[str]:
    """Figures of different validation sets, or of sets nobody knows to be the same."""
    first = subjects[0]
    found = []
    for other in subjects[1:]:
        names = {"a": first.run.name, "b": other.run.name}
        same = same_set([first, other])
        if same is False:
            found.append(translate("verdict.other_set", lang, **names))
        elif same is None:
            found.append(translate("verdict.set_unknown", lang, **names))
    for run in (subject.run for subject in subjects):
        for row in run.epochs:
            if row.entered:
                origin = origin_text(row.entered, lang)
                found.append(translate("verdict.entered", lang, run=run.name, epoch=row.epoch, origin=origin))
    return found


def _against(first: Entry, other: Entry, limits: Thresholds, lang: str) -> ComparedReadings:
    """What the guide reads from one run against the other."""
    epoch = common_epoch(first.subject, other.subject)
    tested = epoch is None or first.evaluation == other.evaluation == f"epoch-{epoch}"
    paired = {"runs": other.test.accuracy} if other.test and tested else None
    found = read(other.subject, first.subject, limits, paired=paired)
    return {
        "a": first.subject.run.name,
        "b": other.subject.run.name,
        "readings": [reading_document(item, lang) for item in found if item.figures.get("scope") != "epochs"],
    }


def reading_document(item: Reading, lang: str) -> ReadingDocument:
    """A reading as --json holds it."""
    return {
        "id": item.id,
        "severity": item.severity,
        "text": text(item, lang),
        "figures": dict(item.figures),
        "statement": item.statement,
        "own": item.statement is None,
    }
