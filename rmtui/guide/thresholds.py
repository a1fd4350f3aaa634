"""Every threshold of the guide, once: name, value, meaning and source. Rules take them as an argument.

A workspace may change any of them in its own `thresholds.toml` (`name = value`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tomli

from rmtui.errors import UserError
from trainer.plain_files import read_plain

FILE = "thresholds.toml"
"""Name of a workspace's own values, in its root."""

GUIDE = "the tuning guide"
OWN = "rmtui's own"


def _limit(default: Any, meaning: str, source: str = OWN) -> Any:
    return field(default=default, metadata={"meaning": meaning, "source": source})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The defaults; `table()` lists them with their sources."""

    gap_warning: float = _limit(0.2, "val_loss − train_loss above this warns, train_loss − val_loss informs", GUIDE)
    small_rise: float = _limit(
        0.05, "val_loss that rose by at most this share rose a little; the guide calls 2 % so", OWN
    )
    flat_loss: float = _limit(0.002, "a loss that changed by at most this share did not change")
    flat_accuracy: float = _limit(0.002, "a val_acc that changed by at most this much (0–1) did not change")
    turn: float = _limit(0.005, "val_loss this share above its lowest has turned")
    last_loss_noise: float = _limit(
        0.01, "train_loss may rise by this share from epoch to epoch and still fall smoothly"
    )
    ln2_distance: float = _limit(0.01, "train_loss within this of ln 2 after an epoch has not begun to learn")
    ln2_accuracy: float = _limit(0.55, "with a val_acc above this the model has learned, whatever its loss")
    come_apart: float = _limit(
        0.05, "train_loss this share above its lowest epoch, and above ln 2, has come apart: the steps are too large"
    )
    late_warmup: float = _limit(
        0.3, "a warm-up longer than this share of the steps ended too late", "the tuning guide: 20–30 %"
    )
    drift_spread: float = _limit(3.0, "rewards whose mean lies this many of their spreads from 0 have drifted")
    drift_growth: float = _limit(1.5, "the mean moved this many spreads between two evaluations")
    most_epochs: int = _limit(16, "more epochs than this are not recommended for a model that does not learn")
    worth: float = _limit(0.01, "a gain in val_acc (0–1) that is worth another run")
    discordance: float = _limit(0.15, "share of pairs that usually turn between two good models")
    leak_accuracy: float = _limit(
        0.97, "val_acc whose interval is above this more likely shows a leak than a good model"
    )
    ruler_gap: float = _limit(
        0.25, "val_acc that differs by this much between pairs with the shorter answer chosen and the rest: a ruler"
    )
    few_val_pairs: int = _limit(500, "fewer validation pairs than this: small, in the guide's sense of small and noisy")
    alpha_over_r: float = _limit(1.25, "alpha / r that changed by more than this factor changed the effective step")
    lora_rate_factor: float = _limit(10.0, "LoRA usually wants this many times the rate of full fine-tuning")
    full_rate: float = _limit(1e-5, "a usual rate of full fine-tuning; times ten it is LoRA's")
    guide_rate_low: float = _limit(
        5e-6, "below this, rates are not on the guide's scale and advice multiplies the user's own"
    )
    guide_rate_high: float = _limit(
        5e-5, "above this, rates are not on the guide's scale and advice multiplies the user's own"
    )
    rate_up: float = _limit(1.5, "a higher rate: 1e-5 → 1.5e-5", GUIDE)
    rate_back: float = _limit(2.0, "the rate before it was cut: 1e-5 → 2e-5", GUIDE)
    guide_model: str = _limit("", "the base model whose bands are the guide's own; empty: none here is")
    guide_data: str = _limit("helpful", "the data set whose bands are the guide's own", GUIDE)
    band_loss: float = _limit(0.03, "half height of a band round a point of a path, losses")
    band_accuracy: float = _limit(0.015, "half height of a band round a point of a path, val_acc")
    forecast_evaluations: int = _limit(
        5, "evaluations before a run forecasts itself", "agreed when the forecast was designed"
    )
    forecast_runs: int = _limit(
        3, "comparable past runs before they forecast a run", "agreed when the forecast was designed"
    )
    forecast_ahead: int = _limit(2, "evaluations that are forecast")
    comparable_rate: float = _limit(1.5, "runs are comparable while their rates differ by at most this factor")
    suspect_runs: int = _limit(2, "runs that must be confidently wrong about a pair before its label is doubted")
    suspect_share: float = _limit(0.25, "confident: among this share of a run's widest margins")
    power: float = _limit(0.8, "power for the number of pairs that would show a difference", "convention (Cohen 1988)")
    level: float = _limit(0.95, "level of every interval and, as 1 − level, of every test", "convention")
    close_margin: float = _limit(0.1, "pairs whose margin is at most this share of the median are close")


@dataclass(frozen=True, slots=True)
class Limit:
    """One row of the table."""

    name: str
    value: Any
    meaning: str
    source: str


DEFAULT = Thresholds()


def table(values: Thresholds = DEFAULT) -> tuple[Limit, ...]:
    """Every threshold with its value, meaning and source."""
    return tuple(
        Limit(item.name, getattr(values, item.name), item.metadata["meaning"], item.metadata["source"])
        for item in fields(values)
    )


def load(path: Path) -> Thresholds:
    """The defaults, with what the file changes; UserError on an unknown name or a wrong type."""
    if not path.is_file():
        return DEFAULT
    try:
        changed = tomli.loads(read_plain(path, 1 << 20).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read", str(error), "fix or remove it") from error
    known = {item.name: item.default for item in fields(Thresholds)}
    for name, value in changed.items():
        _check(path, name, value, known)
    return Thresholds(**changed)


def _check(path: Path, name: str, value: object, known: Mapping[str, object]) -> None:
    if name not in known:
        raise UserError(f"{path}: {name} is not a threshold", remedy=f"one of {', '.join(sorted(known))}")
    wanted = (int, float) if isinstance(known[name], float) else type(known[name])
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UserError(f"{path}: {name} = {value!r} has the wrong type", remedy=f"write it like {known[name]!r}")
