"""Screens by what they show, as plain facts: who asks for one need not import it. `app.SCREENS` opens them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rmtui.runs.model import Run


class Home(NamedTuple):
    """The list of runs."""


class Data(NamedTuple):
    """The check of the workspace's data sets."""


class AdviceOf(NamedTuple):
    """What a run's metrics mean, and what to try next."""

    run: Run


class AgainForm(NamedTuple):
    """A form filled in as a run was launched, with changes."""

    run: Run
    changes: Mapping[str, Any]
    launch: bool = False
    """Go on to the launch dialog at once, unless a field is wrong."""


class PairsOf(NamedTuple):
    """The validation pairs of one run, or of two side by side."""

    runs: Sequence[Run]


class SuspectsOf(NamedTuple):
    """Training pairs of a file whose labels may be wrong."""

    train: Path


Route = Home | Data | AdviceOf | AgainForm | PairsOf | SuspectsOf
