"""The documents of `python -m trainer score`, `merge` and `verify` with `--json`, and of a checkpoint's probe."""

from typing import Annotated, NotRequired, TypedDict

from trainer.values import Limits


class ScoreFigures(TypedDict):
    pairs: int
    accuracy: Annotated[float, Limits(0, 1)]
    interval: Annotated[list[float], Limits(items=2)]
    """95 %: Wilson's, of the effective number of pairs where pairs share prompts (docs/statistics.md)."""
    clusters: NotRequired[int]
    """Groups, prompts or first turns that the pairs are of."""
    effective: NotRequired[float]
    """As many independent pairs would measure the accuracy as finely."""
    ties: int
    loss: Annotated[float, Limits(non_finite=True)]


class ScoreDocument(ScoreFigures):
    """Of pairs."""

    subsets: NotRequired[dict[str, ScoreFigures]]
    """By the rows' `subset`."""


class ScoredResponse(TypedDict):
    id: str
    reward: float


class ResponsesDocument(TypedDict):
    """Of single responses."""

    responses: int
    mean: float
    scores: list[ScoredResponse]


class BaseFloorsDocument(TypedDict):
    """Margins of validation pairs by what a frozen base knows, in the order of `ids`."""

    model: str
    max_length: int
    train_pairs: int
    penalty: float
    """L2 of the probe, chosen by cross-validation over groups of training pairs."""
    ids: list[str]
    probe: list[float]
    log_probability: list[float] | None
    """Mean log-probability of the chosen answer's tokens minus the rejected's; null: see `why_none`."""
    why_none: str


class MergeDocument(TypedDict):
    folder: str
    max_difference: Annotated[float, Limits(0)]
    """Largest difference of a reward in plain transformers, one text at a time."""
    padded: dict[str, bool]
    """Side of the padding: whether padded batches give the same rewards."""


class ProbePair(TypedDict):
    """A line of a checkpoint's probe.json: a validation pair as it was tokenized and cut, with its rewards."""

    id: str
    chosen: float
    rejected: float
    chosen_tokens: list[int]
    rejected_tokens: list[int]


class VerifyDocument(TypedDict):
    verified: bool
    """Plain transformers give the rewards of the training, alone and in padded batches."""
    unverified: NotRequired[str]
    """Why not."""
    round_trip: NotRequired[float | None]
    """Largest difference of a reward, one text at a time; null where one is not finite."""
    padded: NotRequired[dict[str, bool]]
    """Side of the padding: whether padded batches give the same rewards."""
