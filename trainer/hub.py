"""Data sets of the Hugging Face hub, named as data files are: `hf:org/name[:config][@split]`.

`datasets` fetches them in a process of its own (`trainer.data.hub_files`) into its usual cache, and answers from there
without a network. What is read are the Arrow files of that cache.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.unreadable import Unreadable

PREFIX = "hf:"
_NAME = re.compile(
    r"hf:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^:@#]+))?(?:@(?P<split>[^@#]+))?(?:#revision=(?P<revision>[\w.-]+))?"
)
COMMAND = (sys.executable, "-P", "-m", "trainer.data.hub_files")
"""The process that fetches."""
_SHOWN = 12
"""Digits of a revision that people read."""


@dataclass(frozen=True, slots=True)
class HubName:
    """One split of a data set on the hub."""

    repo: str
    config: str = ""
    """Empty: the data set's only or default one."""
    split: str = ""
    """Empty: the only one."""
    revision: str = ""
    """Commit; empty: the newest, or without a network the newest in the cache."""

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        revision = f"#revision={self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repo}{config}{f'@{self.split}' if self.split else ''}{revision}"

    def describe(self) -> str:
        """`org/name of the hub, revision 0123456789ab`."""
        revision = f", revision {self.revision[:_SHOWN]}" if self.revision else ""
        return f"{self.repo} of the hub{revision}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A split that lies in the cache."""

    name: HubName
    """With config, split and revision, whatever was asked for."""
    files: tuple[Path, ...]


def is_hub(path: Path | str) -> bool:
    """Whether a data path names a data set on the hub."""
    return str(path).startswith(PREFIX) and not Path(path).exists()


def parse(path: Path | str) -> HubName:
    """The name in its parts. Raises Unreadable where it is none."""
    found = _NAME.fullmatch(str(path))
    if found is None:
        raise Unreadable(path, "hub_name", "it is no name on the hub: write hf:org/name:config@split")
    return HubName(**{part: text or "" for part, text in found.groupdict().items()})


def is_fetched(path: Path | str) -> bool:
    """Whether this process has fetched it already, so that reading it asks nobody."""
    return is_hub(path) and str(path) in _fetched


_fetched: dict[str, Fetched] = {}
_fetching = threading.Lock()


def fetch(path: Path | str, tell: Callable[[str], object] = lambda line: None) -> Fetched:
    """Bring a data set into the cache, and find its files there; once in this process.

    `tell` hears what `datasets` prints while it works. Raises Unreadable: no such name, no access, no network and not
    in the cache, a config or split to choose, or `datasets` is not installed.
    """
    with _fetching:
        if str(path) not in _fetched or not all(file.is_file() for file in _fetched[str(path)].files):
            found = _fetch(path, parse(path), tell)
            _fetched[str(path)] = _fetched[str(found.name)] = found
        return _fetched[str(path)]


def forget() -> None:
    """Ask anew from now on."""
    _fetched.clear()


def _fetch(path: Path | str, name: HubName, tell: Callable[[str], object]) -> Fetched:
    command = [*COMMAND, name.repo, name.config, name.split, name.revision]
    last = "no reason given"
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        with process:
            assert process.stderr is not None
            for line in process.stderr:  # a progress bar's \r ends a line as well
                if line.strip():
                    last = line.strip()
                    tell(last)
        answer.seek(0)
        text = answer.read()
    try:
        found = json.loads(text)
    except ValueError:  # it was killed, or failed in a way that nobody foresaw
        found = {"case": "hub_failed", "what": f"reading it failed: {last}", "about": {"error": last}}
    if "case" in found:
        raise Unreadable(path, found["case"], found["what"], **found["about"])
    whole = replace(name, config=found["config"], split=found["split"], revision=found["revision"])
    return Fetched(whole, tuple(map(Path, found["files"])))
