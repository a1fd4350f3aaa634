"""What the tests of the app look at."""

from __future__ import annotations

import pytest
import support

from rmtui.workspace import Workspace


@pytest.fixture
def runs(ws: Workspace) -> Workspace:
    """A workspace with six runs of all kinds."""
    support.make_runs(ws, 6)
    return ws
