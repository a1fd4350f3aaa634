"""Pairs: those behind the metrics of runs (`pairs`), and files of them (`check`, `import`)."""

from typing import Annotated, Literal, NotRequired, TypedDict

from rmtui.documents.runs import MarginsDocument
from rmtui.documents.scalars import Config, Count, Share
from trainer.values import Limits


class PairedRun(TypedDict):
    id: str
    name: str
    evaluation: str
    margins: MarginsDocument


class RewardsDocument(TypedDict):
    chosen: float
    rejected: float
    margin: float


class DifferingWords(TypedDict):
    """Each answer in pieces: (text, whether the other answer does not have it)."""

    chosen: list[tuple[str, bool]]
    rejected: list[tuple[str, bool]]


class PairDocument(TypedDict):
    id: str
    rewards: list[RewardsDocument | None]
    """One a run; null: the run did not score this pair."""
    prompt: str | None
    chosen: str | None
    rejected: str | None
    fields: Config
    """What the data's line holds beside the pair."""
    words: DifferingWords | None
    line: NotRequired[Annotated[int, Limits(1)]]


class PairsDocument(TypedDict):
    kind: Literal["wrong", "close", "tied", "mended", "broken", "suspect"]
    runs: list[PairedRun]
    data: str | None
    note: str
    """Why texts are missing or may be others."""
    pairs_scored: Count
    count: Count
    """Of this kind; `pairs` may hold fewer."""
    counts: dict[str, Count]
    """Of every kind that can be asked for of these runs."""
    pairs: list[PairDocument]
    exported: NotRequired[Count]


class FloorDocument(TypedDict):
    """A simple rival of the reward model: `longer` and `shorter` answers win, a bag of `words` decides, or
    a frozen base does: a linear `probe` on its last hidden states, or its mean `log_probability` of the answers."""

    floor: Literal["longer", "shorter", "words", "probe", "log_probability"]
    accuracy: Share
    interval: Annotated[list[Share], Limits(items=2)]


class BaseFloors(TypedDict):
    """The frozen base that was asked."""

    model: str
    max_length: Count
    penalty: float
    """L2 of the probe, chosen by cross-validation on the training pairs."""
    why_none: str
    """Why there is no log-probability; empty where there is."""
    kept: bool
    """It was measured before: no model was loaded."""


class SourceFloors(TypedDict):
    """Of the pairs of one source (`source`, else `subset`)."""

    source: str
    pairs: Count
    floors: list[FloorDocument]


class FloorsDocument(TypedDict):
    """What simple rivals score on validation pairs; ties are wrong."""

    train: str
    val: str
    train_pairs: Count
    """Pairs that the bag of words was fitted to."""
    pairs: Count
    clusters: Count
    """Groups, prompts or first turns that the validation pairs are of."""
    floors: list[FloorDocument]
    best: Literal["longer", "shorter", "words", "probe", "log_probability"]
    sources: list[SourceFloors]
    base: NotRequired[BaseFloors]


class SuspectDocument(TypedDict):
    id: str
    line: Annotated[int, Limits(1)]
    margins: list[float]
    """Of each repeat, log-odds of the chosen answer by words of pairs in other folds: below 0, all of them."""
    prompt: str
    chosen: str
    rejected: str


class SuspectsDocument(TypedDict):
    """Training pairs whose label is likely wrong, the likeliest first; `accuracy` is that of the cross-fitted words."""

    train: str
    pairs: Count
    groups: Count
    """Groups, prompts or first turns: a fold holds whole ones."""
    folds: Count
    repeats: Count
    accuracy: Share
    interval: Annotated[list[Share], Limits(items=2)]
    note: str
    """Why nobody is suspected; empty when all is well."""
    count: Count
    """`suspects` may hold fewer."""
    suspects: list[SuspectDocument]
    exported: NotRequired[Count]


class RelabelDocument(TypedDict):
    """A new version of a file of pairs."""

    source: str
    path: str
    log: str
    fingerprint: str
    pairs: Count
    flipped: Count
    tied: Count
    dropped: Count
    unrated: Count
    """Flipped pairs that lost a margin or scores which spoke for the other answer."""


class GroupDocument(TypedDict):
    label: str
    pairs: Count
    right: Count
    accuracy: Share
    interval: Annotated[list[Share], Limits(items=2)]


class GroupedRun(TypedDict):
    id: str
    name: str
    groups: list[GroupDocument]


class GroupsDocument(TypedDict):
    """`pairs --by FIELD`."""

    by: str
    note: str
    runs: list[GroupedRun]


class LinePlace(TypedDict):
    path: str
    line: int


class FindingDocument(TypedDict):
    line: int | None
    """From 1; null: the whole file."""
    kind: str
    severity: Literal["error", "warning"]
    message: str
    related: NotRequired[LinePlace]


class CharactersDocument(TypedDict):
    """Characters of a pair."""

    median: int | None
    p95: int | None


class TokensDocument(TypedDict):
    """Every `step`th pair was counted against `limit`."""

    pairs: int
    step: int
    limit: int


class PairFigures(TypedDict):
    """What the pairs of a file are like."""

    pairs: Count
    chosen_longer: Share | None
    characters: CharactersDocument
    sources: dict[str, int]
    languages: dict[str, float]
    shows_difference_of: float | None
    """Smallest difference of two runs' accuracies that these pairs show."""


class FileFigures(PairFigures):
    tokens: TokensDocument | None


class FileDocument(TypedDict):
    path: str
    lines: Count
    """Of a file that holds no lines of pairs, its records."""
    layout: str | None
    """null: none was recognised."""
    container: str | None
    fields: dict[str, str]
    """What is taken for prompt, chosen, rejected …, where that is not the house's own names."""
    good: Count
    errors: Count
    warnings: Count
    counts: dict[str, int]
    """Kind → how often; complete even where `findings` is cut."""
    findings: list[FindingDocument]
    findings_left_out: Count
    figures: FileFigures


class CheckDocument(TypedDict):
    files: list[FileDocument]
    near_duplicates: Literal["looked for", "not looked for to the end"]
    ok: bool


class ConvertDocument(TypedDict):
    """`convert`."""

    path: str
    layout: str
    container: str
    fields: dict[str, str]
    records: Count
    pairs: Count
    left_out: dict[str, int]
    """Why records are not written → how many."""


class ImportedDocument(TypedDict):
    id: str
    name: str
    source: str
    new: bool
    """False: it was imported before, and nothing was added."""
    notes: list[str]
    recognised: str
    """What the source was taken for."""
    unused: list[str]
    """Keys of the source that were not read."""


class ImportDocument(TypedDict):
    runs: list[ImportedDocument]
    unread: list[str]
    skipped: list[str]
    """Files in folders that no importer reads, by kind with the reason."""


class ImportedAgain(TypedDict):
    """`import --again`."""

    id: str
    name: str
    source: str
    changes: list[str]
    """Empty: nothing changed."""


class ImportedPreset(TypedDict):
    """`import --as-preset`."""

    preset: str
    path: str
    unknown: list[str]
