"""What runs mean: `compare` and `advise`."""

from collections.abc import Mapping
from typing import Annotated, Literal, NotRequired, TypedDict

from rmtui.documents.runs import ChosenDocument
from rmtui.documents.scalars import Config, Count, Figure, Metric, Severity, Share, StateName
from trainer.values import Limits, Value


class ReadingDocument(TypedDict):
    id: str
    severity: Severity
    text: str
    figures: Config
    """What the sentence rests on."""
    statement: int | None
    """Number of the guide's reading; null: rmtui's own."""
    own: bool


class ComparedRun(TypedDict):
    id: str
    name: str
    state: StateName
    preset: str | None
    data: str | None
    val_fingerprint: str | None
    evaluation: str | None
    """Whose pairs are tested: epoch-3."""


class ConfigComparison(TypedDict):
    differs: dict[str, list[Value]]
    """Key → one value a run; null: not known."""
    same: dict[str, Value]


class EpochRow(TypedDict):
    """One epoch of every run: a value a run."""

    epoch: int
    train_loss: list[Figure | None]
    val_loss: list[Figure | None]
    val_acc: list[Share | None]


class ChangeDocument(TypedDict):
    """Against the first run."""

    delta: float
    percent: float
    """Relative change: -0.23 is 23 % down."""
    better: bool | None
    """The sign of the change."""
    verdict: str | None
    """What the test of the pairs says: better, worse, same; other_set on other pairs; null without a test."""


class ComparedMetric(TypedDict):
    """One metric of every run."""

    last: list[Figure | None]
    best: list[Figure | None]
    """Of each run's best evaluation, the same for every metric."""
    best_epoch: list[Figure | None]
    """Not whole where that evaluation is within an epoch."""
    change: list[ChangeDocument | None]
    interval: NotRequired[list[list[float] | None]]
    """Of val_acc alone: Wilson's, of the effective number of pairs."""


class BestRun(TypedDict):
    run: str
    name: str
    by: Literal["val_acc", "val_loss"]
    value: float
    text: str


class IntervalDocument(TypedDict):
    delta: float
    low: float
    high: float


class PairedVerdict(TypedDict):
    """Two runs on the same pairs: an exact sign-flip test over clusters (McNemar's where each pair is its own), and the
    difference with its interval."""

    n: Count
    mended: Count
    broken: Count
    p: Share
    accuracy: IntervalDocument
    loss: IntervalDocument
    needed_pairs: int | None
    """Pairs that would show this difference if it were the true one, which is seldom so; null when there is
    none."""
    clusters: Count
    """Groups, prompts or first turns that the pairs are of: what the tests take as independent."""
    effective_pairs: Figure
    """As many independent pairs would measure the difference as finely."""
    detectable: Share | None
    """The smallest difference that these pairs show with 80 % power at their discordance; null: none."""
    accuracy_verdict: Literal["better", "worse", "same"]
    loss_verdict: Literal["better", "worse", "same"]


class SettingsDocument(TypedDict):
    """Two settings by all their seeds of one number of epochs, on the pairs that all have scored."""

    a: list[Share]
    """val_acc of each seed."""
    b: list[Share]
    deviation: float | None
    """Standard deviation over seeds, pooled; null where no setting has two."""
    delta: float
    p_seeds: Share | None
    """Of a permutation of the seeds; null with fewer than four of either."""
    p_prompts: Share | None
    """Of a sign-flip test over prompts; the verdict takes the larger of both."""
    verdict: Literal["better", "worse", "same"] | None
    """Null: too few seeds for one."""
    text: str


class RelabelledPairs(TypedDict):
    """Training or validation pairs of two runs; lists are of ids, null where no log of `relabel` connects the two."""

    same: bool | None
    """By the hashes that both runs recorded; null: not recorded of both."""
    flipped: list[str] | None
    a_only: list[str] | None
    """Tied or dropped in the second run's version alone."""
    b_only: list[str] | None


class UntouchedDocument(TypedDict):
    """Pairs that are the same in both validation files and that both runs scored."""

    n: Count
    accuracy: Annotated[list[Share], Limits(items=2)]
    """Of the first run, of the second."""
    interval: list[list[float]]
    verdict: PairedVerdict | None
    """Null: of fewer than two prompts."""


class RelabelledDocument(TypedDict):
    train: RelabelledPairs
    val: RelabelledPairs
    untouched: UntouchedDocument | None
    """Null: none, and where validation pairs are the same or are not connected."""
    damaged_logs: list[str]
    """Logs that cannot be read, with the reason."""


class PairedDocument(TypedDict):
    a: str
    b: str
    verdict: PairedVerdict | None
    texts: list[str]
    settings: NotRequired[SettingsDocument]
    """Only where the two differ in more than their seed."""
    relabelled: NotRequired[RelabelledDocument]
    """Only where a log of `relabel` connects their pairs."""


class SeedsDocument(TypedDict):
    """Runs that differ in their seed alone."""

    runs: list[str]
    metric: Metric
    count: int
    mean: float
    deviation: float
    low: float
    high: float
    text: str


class ComparedReadings(TypedDict):
    a: str
    b: str
    readings: list[ReadingDocument]


class CompareDocument(TypedDict):
    runs: list[ComparedRun]
    config: ConfigComparison
    epochs: list[EpochRow]
    summary: dict[Metric, ComparedMetric]
    best: BestRun | None
    lead: str
    """Who leads, by what, and whether that is proven; or that no run leads."""
    chosen: NotRequired[ChosenDocument]
    """What the leader's best evaluation is worth, where it was chosen among several."""
    next: str
    """The next step of the run that leads; empty where there is none."""
    paired: list[PairedDocument]
    seeds: list[SeedsDocument]
    warnings: list[str]
    readings: list[ComparedReadings]


class RunName(TypedDict):
    id: str
    name: str


Difference = TypedDict("Difference", {"key": str, "from": Value, "to": Value})
"""A key of the configuration that an advice changes."""


class CurveSize(TypedDict):
    """A run of a learning curve."""

    run: str
    name: str
    pairs: Count
    """Training pairs of an epoch."""
    val_acc: Share | None
    """Of its best evaluation."""


class CurveStep(TypedDict):
    """From one size to the next, on the validation pairs that both runs scored."""

    few: Count
    many: Count
    gain: float | None
    interval: Annotated[list[float], Limits(items=2)] | None
    p: Share | None
    verdict: Literal["better", "worse", "same"] | None
    """null: rewards of single pairs are not known for both."""
    text: str


class LearningCurveDocument(TypedDict):
    """val_acc of a run and of runs of its settings on fewer of its pairs."""

    run: RunName
    sizes: list[CurveSize]
    """From few pairs to many; the run itself is the last."""
    steps: list[CurveStep]
    missing: list[Count]
    """Sizes, a quarter and a half, that no run has."""
    text: str


class AdviceDocument(TypedDict):
    id: str
    text: str
    why: str
    changes: Config
    """Dotted keys, ready for `--set`."""
    difference: list[Difference]
    expected: Mapping[str, list[float] | tuple[float, float]]
    """Metric → [low, high]."""
    because: list[str]
    """Ids of readings."""
    because_titles: list[str]
    because_text: list[str]
    action: Literal["form", "evaluate", "check", "launch", "resume", "none"]
    own: bool


class PathStep(TypedDict):
    id: str
    text: str
    state: Literal["done", "here", "ahead", "skipped"]
    state_text: str
    outcome: str
    outcome_text: str
    doubtful: bool
    run: str | None


class BandDocument(TypedDict):
    """The expected range of a metric at one epoch."""

    metric: Metric
    epoch: int
    low: float
    high: float
    absolute: bool


class JudgementDocument(TypedDict):
    epoch: int
    metric: Metric
    value: float
    low: float
    high: float
    place: Literal["in", "above", "below"]
    better: bool | None
    last: bool
    text: str


class ExpectationsDocument(TypedDict):
    absolute: bool
    text: str
    bands: list[BandDocument]
    epochs: list[JudgementDocument]


class ForecastDocument(TypedDict):
    metric: Metric
    at: float
    epoch: float
    value: float
    low: float
    high: float
    method: Literal["runs", "curve"]
    n: int
    forecast: Literal[True]
    text: str


class ForecastRecordDocument(TypedDict):
    count: int
    hits: int
    mean_error: float
    text: str


class Silence(TypedDict):
    """A reading or an advice that is hidden."""

    id: str
    t: float | None
    by: str
    scope: Literal["run", "always"]


class AdviseDocument(TypedDict):
    run: RunName
    verdict: str
    """How the training went, its metrics and the next step, in a line; empty before the first metric."""
    before: RunName | None
    readings: list[ReadingDocument]
    advice: list[AdviceDocument]
    path: list[PathStep]
    expectations: ExpectationsDocument | None
    forecasts: list[ForecastDocument]
    forecast_record: ForecastRecordDocument | None
    silenced: list[Silence]
