"""What the keys of documents hold."""

from collections.abc import Mapping
from typing import Annotated, Literal

from trainer.values import Limits, Value

Config = Mapping[str, Value]
"""A configuration: nested, or with dotted keys."""
Share = Annotated[float, Limits(0, 1)]
Count = Annotated[int, Limits(0)]
Figure = Annotated[float, Limits(non_finite=True)]
Moment = Annotated[str, Limits(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$")]
"""UTC in ISO form."""
STATES = (
    *("queued", "starting", "running", "stopping", "finished", "stopped"),
    *("failed", "killed", "interrupted", "unknown", "imported"),
)
StateName = Annotated[str, Limits(enum=STATES)]
"""`rmtui.runs.model.State`."""
Metric = Literal["train_loss", "val_loss", "val_acc"]
"""The guide's metrics of an epoch."""
Severity = Literal["error", "warning", "info", "good"]
