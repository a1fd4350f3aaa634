"""What a launch would do and what waits: `launch --dry-run`, `presets`, `queue`, `doctor`."""

from pathlib import Path
from typing import Annotated, Literal, TypedDict

from rmtui.documents.scalars import Config, Count, Moment
from trainer.values import Limits, Value


class DerivedDocument(TypedDict):
    """What follows from a configuration, the number of training pairs and the processes."""

    train_pairs: Count
    world_size: Count
    effective_batch: Count
    steps_per_epoch: Count
    last_step_pairs: Count
    total_steps: Count
    warmup_steps: Count
    evaluations: Count
    checkpoints: Count


class SizesDocument(TypedDict):
    """Estimated; bytes are of one process."""

    parameters: Count
    trainable: Count
    weights_bytes: Count
    gradients_bytes: Count
    optimizer_bytes: Count
    activations_bytes: Count
    total_bytes: Count


class TimeDocument(TypedDict):
    """Likely seconds, and from how many past runs that is known."""

    seconds: Annotated[float, Limits(0)]
    runs: Annotated[int, Limits(1)]


class ProblemDocument(TypedDict):
    key: str
    what: str
    remedy: str
    source: str
    severity: Literal["error", "warning"]


class PairReadingDocument(TypedDict):
    """How a data file is read."""

    layout: str
    container: str
    fields: dict[str, str]
    """What is taken for prompt, chosen, rejected …, where that is not the house's own names."""


class PlanDocument(TypedDict):
    """What would be launched."""

    name: str
    line: str
    argv: list[str]
    environment: dict[str, str]
    config: Config
    launch: Config
    precision: str
    script: str
    """What is submitted to a cluster; empty for this machine."""
    derived: DerivedDocument | None
    sizes: SizesDocument | None
    time: TimeDocument | None
    data: dict[str, PairReadingDocument]
    """Option → how its file is read; a file that is not read is missing here."""
    problems: list[ProblemDocument]


class PresetDocument(TypedDict):
    name: str
    title: str
    purpose: str
    path: Path
    config: Config
    expect: dict[str, Annotated[list[float], Limits(items=2)]]
    """Metric → [low, high]."""


class OptionDocument(TypedDict):
    """`presets --options`: a key of a preset."""

    key: str
    type: str
    default: Value
    range: str
    help: str


class PlaceDocument(TypedDict):
    """A waiting run."""

    id: str
    name: str
    place: Annotated[int, Limits(1)]
    needs: str
    since: Moment
    attended: bool
    reason: str


class DiagnosisDocument(TypedDict):
    topic: str
    level: Literal["ok", "note", "warning", "error"]
    text: str
    remedy: str
