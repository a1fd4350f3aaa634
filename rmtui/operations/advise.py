"""What the metrics of a run mean, what to try next, its place on the guide's path, what was expected of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide import advice, divergence, expectations, forecast, path, policy, readings
from rmtui.guide.comparison import reading_document
from rmtui.guide.expectations import Expectation, ExpectedBand, Judgement
from rmtui.guide.forecast import Forecast, ForecastRecord
from rmtui.guide.model import Advice, Reading, Subject
from rmtui.guide.sentences import reason, text, titled
from rmtui.guide.thresholds import Thresholds
from rmtui.guide.verdict_line import verdict
from rmtui.i18n import bound_text, in_brackets, metric_text, translate
from rmtui.index.index import Index
from rmtui.operations import floors, forecasts, learning_curve, load_subjects, mute, pair_clusters
from rmtui.operations.candidates import choice_of
from rmtui.presets import find
from rmtui.runs.model import Run
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import (
        AdviceDocument,
        AdviseDocument,
        BandDocument,
        ExpectationsDocument,
        ForecastDocument,
        ForecastRecordDocument,
        JudgementDocument,
        PathStep,
    )
    from rmtui.documents.scalars import Config

COMPARABLE = 20
"""Past runs, the newest, that a forecast rests on at most."""


def advise(ws: Workspace, ref: str, lang: str = "en", against: str | None = None) -> AdviseDocument:
    """The document of `advise --json`. `against` names the run to hold it against; else the one before it."""
    index = Index.open_reading(ws)
    try:
        index.sync()
        run = index.run(index.resolve(ref))
        return document(ws, index, run, lang, index.run(index.resolve(against)) if against else None)
    finally:
        index.close()


def document(ws: Workspace, index: Index, run: Run, lang: str, against: Run | None = None) -> AdviseDocument:
    """The same out of an index that is up to date: the files are not looked at anew."""
    limits = load_subjects.limits(ws)
    family = load_subjects.siblings(index, run)
    other = against or load_subjects.run_before(run, family)
    subject = pair_clusters.with_clusters(ws, _with_start(index, load_subjects.subject(index, run)))
    subject = replace(subject, floor=floors.best_floor(ws, run))
    before = pair_clusters.with_clusters(ws, load_subjects.subject(index, other)) if other else None
    others = [Subject(item) for item in family if item.id != run.id]
    recorded = {item.run.id for item in others if forecasts.any_recorded(item.run)}
    past = _past(index, subject, others, recorded, limits)
    quiet = mute.silenced(ws, run.id)
    tested = load_subjects.paired(run, other, limits, partial(pair_clusters.clusters_of, ws))
    found = readings.read(subject, before, limits, {row["id"] for row in quiet}, tested)
    at = path.locate(subject, [*past, subject], before, limits, tested, _own_a(ws))
    steps = advice.recommend(at, found, _with_starts(index, past), limits, {row["id"] for row in quiet})
    made = _forecasts(subject, past, limits)
    record = forecasts.history([subject, *(item for item in past if item.run.id in recorded)])
    return {
        "run": {"id": run.id, "name": run.name},
        "verdict": verdict(subject, before, found, steps, lang),
        "before": {"id": other.id, "name": other.name} if other else None,
        "readings": [reading_document(item, lang) for item in found],
        "advice": [_advice(item, subject, found, lang, _worth(ws, index, item, family, lang)) for item in steps],
        "path": [_step(step, lang) for step in path.steps(at)],
        "expectations": expected(ws, subject, limits, lang),
        "forecasts": [_forecast(item, limits, lang) for item in made],
        "forecast_record": _record(record, lang) if record else None,
        "silenced": quiet,
    }


def _own_a(ws: Workspace) -> Config:
    """The configuration of the workspace's preset A; empty where there is none that can be read."""
    try:
        return find(ws, "A").config
    except UserError:
        return {}


def _past(
    index: Index, subject: Subject, others: Sequence[Subject], recorded: Collection[str], limits: Thresholds
) -> list[Subject]:
    """The other runs; with evaluations between epochs where a forecast, or its record, rests on them."""
    alike = [] if subject.run.state.final else [item for item in others if forecast.comparable(subject, item, limits)]
    deep = {item.run.id for item in alike[-COMPARABLE:]}.union(recorded)
    return [load_subjects.subject(index, item.run) if item.run.id in deep else item for item in others]


def _with_starts(index: Index, past: Sequence[Subject]) -> list[Subject]:
    """The newest runs, and those of the highest val_acc, with the loss that they started from, which tells steps that
    are too large from a bad first head, and with their losses at a cross-fitted temperature."""
    best = sorted(past, key=lambda item: -(item.run.val_acc or 0.0))[:COMPARABLE]
    deep = {item.run.id for item in [*best, *past[-COMPARABLE:]]}
    return [_with_start(index, item) if item.run.id in deep else item for item in past]


def _with_start(index: Index, item: Subject) -> Subject:
    item = replace(item, fitted=load_subjects.fitted_losses(item.run))
    asked = divergence.asks_for_start(item)
    return replace(item, start_loss=load_subjects.start_loss(index, item.run)) if asked else item


def _worth(ws: Workspace, index: Index, item: Advice, family: Sequence[Run], lang: str) -> str:
    """Of the run that an end of tuning keeps: what it is worth as the best of all that were looked at, and what more
    training pairs would bring."""
    kept = next((run for run in family if run.id == item.figures.get("id")), None)
    if item.id not in policy.ENDS or kept is None:
        return ""
    found = choice_of(ws, index, kept, lang)
    more = learning_curve.sentence(ws, index, kept, lang)
    return ("" if lang == "zh" else " ").join(filter(None, [found["text"] if found else "", more]))


def _advice(item: Advice, subject: Subject, said: Sequence[Reading], lang: str, worth: str) -> AdviceDocument:
    return {
        "id": item.id,
        "text": text(item, lang),
        "why": ("" if lang == "zh" else " ").join(filter(None, (reason(item, lang), worth))),
        "changes": dict(item.changes),
        "difference": advice.difference(item, subject),
        "expected": dict(item.expected),
        "because": list(item.because),
        "because_titles": [titled(found, lang) for found in said if found.id in item.because],
        "because_text": [text(found, lang) for found in said if found.id in item.because],
        "action": item.action if item.changes or item.action != "form" else "none",
        "own": item.own,
    }


def _step(step: path.Step, lang: str) -> PathStep:
    return {
        "id": step.id,
        "text": translate(f"path.{step.id}", lang),
        "state": step.state,
        "state_text": translate(f"word.{step.state}", lang),
        "outcome": step.outcome,
        "outcome_text": _outcome(step, lang),
        "doubtful": step.doubtful,
        "run": step.run,
    }


def _outcome(step: path.Step, lang: str) -> str:
    """What was found, in a word or in numbers."""
    if step.outcome != "read":
        word = translate(f"word.{step.outcome}", lang)
        return translate("word.doubtful", lang, outcome=word) if step.doubtful else word
    ends = {metric: [metric_text(metric, value) for value in values] for metric, values in step.figures.items()}
    return translate("phrase.comma", lang).join(f"{metric} {' → '.join(shown)}" for metric, shown in ends.items())


def expected(ws: Workspace, subject: Subject, limits: Thresholds, lang: str) -> ExpectationsDocument | None:
    """The run's bands and the place of its metrics; None where nothing is expected of it."""
    wanted = _expectation(ws, subject.run)
    if wanted is None:
        return None
    found = expectations.bands(wanted, subject, limits)
    absolute = not wanted.guides or expectations.is_guides_own(subject, limits)
    return {
        "absolute": absolute,
        "text": translate("band.absolute" if absolute else "band.relative", lang),
        "bands": [_band(band) for band in found],
        "epochs": [_judgement(item, lang) for item in expectations.judge(wanted, subject, limits)],
    }


def bands_alone(ws: Workspace, index: Index, run: Run) -> list[BandDocument]:
    """The bands of `expected`, for a chart that does not wait for the rest."""
    wanted = _expectation(ws, run)
    if wanted is None:
        return []
    found = expectations.bands(wanted, load_subjects.bare(index, run), load_subjects.limits(ws))
    return [_band(band) for band in found]


def _expectation(ws: Workspace, run: Run) -> Expectation | None:
    return expectations.expectation(run.preset, _ranges(ws, run), run.config)


def _band(band: ExpectedBand) -> BandDocument:
    return {
        "metric": band.metric,
        "epoch": band.epoch,
        "low": band.low,
        "high": band.high,
        "absolute": band.absolute,
    }


def _ranges(ws: Workspace, run: Run) -> Mapping[str, Sequence[float]]:
    """The [expect] of the run's preset, if the preset is still there."""
    try:
        return find(ws, run.preset).expect if run.preset else {}
    except UserError:
        return {}


def _judgement(item: Judgement, lang: str) -> JudgementDocument:
    band = item.band
    shown = {"value": item.value, "low": band.low, "high": band.high}
    values = {name: bound_text(band.metric, value) for name, value in shown.items()}
    values["value"] = metric_text(band.metric, item.value)
    place = translate(f"word.{item.place}", lang)
    if item.better is not None:
        place += in_brackets(translate("word.better" if item.better else "word.worse", lang), lang)
    return {
        "epoch": band.epoch,
        "metric": band.metric,
        "value": item.value,
        "low": band.low,
        "high": band.high,
        "place": item.place,
        "better": item.better,
        "last": item.last,
        "text": translate("band.figure", lang, epoch=band.epoch, metric=band.metric, place=place, **values),
    }


def _forecasts(subject: Subject, past: Sequence[Subject], limits: Thresholds) -> list[Forecast]:
    """Forecasts of the next evaluations, kept as they are made."""
    made = forecast.forecast(subject, past, limits)
    if made:
        forecasts.keep(subject.run.folder, made)
    return made


def _forecast(item: Forecast, limits: Thresholds, lang: str) -> ForecastDocument:
    shown = {name: metric_text(item.metric, value) for name, value in _ends(item).items()}
    method = translate(f"forecast.{item.method}", lang, n=item.n)
    sentence = translate(
        "forecast.figure", lang, metric=item.metric, epoch=item.epoch, level=limits.level, method=method, **shown
    )
    return {
        "metric": item.metric,
        "at": item.at,
        "epoch": item.epoch,
        "value": item.value,
        "low": item.low,
        "high": item.high,
        "method": item.method,
        "n": item.n,
        "forecast": True,
        "text": sentence,
    }


def _ends(item: Forecast) -> dict[str, float]:
    return {"value": item.value, "low": item.low, "high": item.high}


def _record(record: ForecastRecord, lang: str) -> ForecastRecordDocument:
    return {
        "count": record.count,
        "hits": record.hits,
        "mean_error": record.mean_error,
        "text": translate("forecast.record", lang, **asdict(record)),
    }
