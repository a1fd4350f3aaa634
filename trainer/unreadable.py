"""The error of data that cannot be read; who raises it says why in a way that can be said again in other words."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any


class Unreadable(OSError):
    """A file of whose content nothing can be read; `case` and `about` say why, for whoever says it in other words."""

    def __init__(self, path: Path | str, case: str, what: str, **about: Any) -> None:
        super().__init__(errno.EINVAL, what, str(path))
        self.case = case
        self.about = about

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"
