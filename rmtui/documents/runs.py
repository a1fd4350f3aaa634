"""A run: `ls`, `show`, `export`; and what `launch`, `stop`, `resume` say of one."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired, TypedDict

from rmtui.documents.scalars import Config, Count, Figure, Moment, Share, StateName
from trainer.values import Limits


class ChosenDocument(TypedDict):
    """A run's best evaluation as the best of all on the same validation pairs."""

    run: str
    evaluation: str
    candidates: Count
    """Evaluations on these pairs, of deleted runs too."""
    runs: Count
    best: bool
    """No other has a higher val_acc."""
    value: Share
    """val_acc as measured."""
    corrected: Share
    """What is expected of the chosen model on other pairs."""
    interval: Annotated[list[Share], Limits(items=2)]
    """95 %, wide enough for every candidate at once."""
    text: str


class TestedModel(TypedDict):
    """A model on a sealed test set."""

    run: str
    name: str
    checkpoint: str
    accuracy: Share
    interval: Annotated[list[Share], Limits(items=2)]
    """95 % over all looks at the set so far."""
    loss: Figure


class TestDifference(TypedDict):
    """The finalist against its comparator, pair by pair."""

    delta: float
    low: float
    high: float
    """95 % over all looks."""
    p: Share
    """Times the number of looks."""
    gained: Count
    """Pairs that only the finalist gets right."""
    lost: Count
    verdict: Literal["better", "worse", "same"]


class TestDocument(TypedDict):
    """A look at a sealed test set."""

    look: Annotated[int, Limits(1)]
    looks: Annotated[int, Limits(1)]
    """At this set so far, in this workspace: what its intervals are adjusted for."""
    file: str
    fingerprint: str
    time: Moment
    pairs: Count
    clusters: Count
    shared: Count | None
    """Pairs whose first question is in the training or validation pairs, too; null where those files are gone."""
    finalist: TestedModel
    comparator: TestedModel | None
    difference: TestDifference | None
    text: str


class EpochDocument(TypedDict):
    epoch: int
    train_loss: Figure | None
    val_loss: Figure | None
    val_acc: Share | None
    val_pairs: int | None
    reward_margin: NotRequired[Figure | None]
    """Not in exports of older versions."""
    val_clusters: NotRequired[int | None]
    """Prompts or groups that the pairs are of; null: not known, pairs are taken as independent."""
    val_effective: NotRequired[Figure | None]
    """As many independent pairs would measure val_acc as finely."""
    entered: NotRequired[str]
    """Only where val_acc was entered by a person, not measured: `by hand`, or the log that it was read from."""


class EvaluationAt(TypedDict):
    """One evaluation of the run's own validation set, at an epoch's end or within an epoch."""

    step: int | None
    """Null where the source of an imported run gives no steps."""
    epoch: Figure | None
    """Passes over the training pairs so far; null where only steps are known."""
    val_loss: Figure | None
    val_acc: Share | None
    val_pairs: int | None
    reward_margin: Figure | None
    val_clusters: NotRequired[int | None]
    """Prompts or groups that the pairs are of; null: not known, pairs are taken as independent."""
    val_effective: NotRequired[Figure | None]
    """As many independent pairs would measure val_acc as finely."""


class SourceDocument(TypedDict):
    """Where an imported run was read."""

    path: str
    kind: str
    recognised: str
    metrics: Mapping[str, str]
    """Name of a metric → what it is called in the source, where that is another name."""
    unused: list[str]
    notes: list[str]


class LinkDocument(TypedDict):
    """A run that this one came from."""

    how: str
    """starts_from: its weights were the start; extends: it goes on with more epochs; relaunch_of: after out of
    memory."""
    id: str
    name: str
    """The id where the run is gone."""


class BestDocument(TypedDict):
    epoch: Figure | None
    step: NotRequired[int | None]
    """Not in exports of older versions."""
    val_acc: Share | None
    val_loss: Figure | None


class AttemptDocument(TypedDict):
    n: Count
    state: StateName
    reason: str
    exit_code: int | None
    started: Moment | None
    ended: Moment | None
    resumed_from_step: int | None


class EvaluationDocument(TypedDict):
    """The newest metrics of one validation set; null where the set does not define one."""

    val_loss: Figure | None
    val_acc: Figure | None
    val_pairs: Figure | None
    val_ties: Figure | None
    reward_margin: Figure | None
    reward_mean: Figure | None
    reward_std: Figure | None
    calibration_error: Figure | None
    val_acc_chosen_shorter: Figure | None
    pairs_chosen_shorter: Figure | None
    length_correlation: Figure | None


class MarginsDocument(TypedDict):
    """Reward margins in equal bins from -reach to +reach; several runs share one scale."""

    reach: Annotated[float, Limits(exclusive_minimum=0)]
    counts: Annotated[list[Count], Limits(items=20)]
    median: float


class RunFacts(TypedDict):
    """What every document of a run says."""

    id: str
    name: str
    state: StateName
    reason: str
    resumable: bool
    preset: str | None
    data: str | None
    created: Moment | None
    started: Moment | None
    ended: Moment | None
    host: str
    processes: int | None
    step: int
    total_steps: int | None
    epochs_done: float | None
    """Null where only steps are known."""
    config: Config
    epochs: list[EpochDocument]
    best: BestDocument | None
    tags: list[str]
    note: str
    pinned: bool
    archived: bool
    group: str
    val_fingerprint: str | None


class RunDocument(RunFacts):
    """A run as `ls --json` gives it."""

    folder: str


class ShowDocument(RunDocument):
    """A run as `show --json` gives it."""

    evaluations: list[EvaluationAt]
    origin: SourceDocument | None
    """Null of a run that was trained here."""
    links: list[LinkDocument]
    attempts: list[AttemptDocument]
    verified: bool | None
    """Whether plain transformers found the trained rewards in model/; null where it was not checked."""
    evaluation: dict[str, EvaluationDocument]
    """By validation set, `val` first."""
    margins: MarginsDocument | None
    chosen: ChosenDocument | None
    """What its best evaluation is worth; null where it was the only one, or rewards of single pairs are not known."""
    tests: list[TestDocument]
    """Looks at sealed test sets in which it was the finalist."""


class ExportDocument(RunFacts):
    """A run as `export --format json` writes it: exports of other programs' runs have no evaluation and no margins."""

    evaluations: NotRequired[list[EvaluationAt]]
    origin: NotRequired[SourceDocument | None]
    links: NotRequired[list[LinkDocument]]
    attempts: list[AttemptDocument]
    verified: NotRequired[bool | None]
    evaluation: NotRequired[dict[str, EvaluationDocument]]
    margins: NotRequired[MarginsDocument | None]
    chosen: NotRequired[ChosenDocument | None]
    tests: NotRequired[list[TestDocument]]
    metrics: Mapping[str, Sequence[tuple[float, Figure]]]
    """Name → [step, value] of every point, in full precision."""


class LaunchDocument(TypedDict):
    """A run that `launch`, `stop` or `resume` acted on."""

    id: str
    state: StateName
    reason: str
    folder: str
    resumed_from_step: NotRequired[int | None]
    """By `resume` alone."""
