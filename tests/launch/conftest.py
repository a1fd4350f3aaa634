from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import launch_kit as kit
import pytest

from rmtui.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    made = kit.make_workspace(tmp_path)
    yield made
    kit.clean_up(made)
