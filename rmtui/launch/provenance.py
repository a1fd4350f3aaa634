"""Where a run comes from: versions, git commit, fingerprints of its data. Nothing of the environment is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from rmtui import __version__
from trainer import mixture, pairs

PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")


def facts(root: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """[versions], [git] and [fingerprints] of spec.toml."""
    return {"versions": versions(), "git": git(root), "fingerprints": fingerprints(data)}


def versions() -> dict[str, str]:
    """Of the packages that results depend on; what is not installed is left out. Imports none of them."""
    found = {"python": sys.version.split()[0], "rmtui": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git(root: Path) -> dict[str, object]:
    """Commit of the workspace, and whether files differ from it, where that can be asked without running a command
    that the repository names; empty where there is no git."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None or commit.returncode:
        return {}
    found: dict[str, object] = {"commit": commit.stdout.strip()}
    words = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    off = _no_filters(root)
    if off is not None and (status := _git(root, *off, *words)) is not None and status.returncode == 0:
        found["dirty"] = bool(status.stdout)
    return found


_HARMLESS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
"""A repository's own configuration names commands, and the repository may be somebody else's."""
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # An object that is missing is not fetched: the repository names the command that would do it.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}


def _no_filters(root: Path) -> list[str] | None:
    """Options that switch off the content filters that the repository itself configures, in any file that its
    configuration includes: they are commands, too. Those of the user and the system stay (git-lfs). None where they
    cannot be listed (git before 2.26) or switched off (`-c` ends a name at its first `=`)."""
    pattern = r"^filter\..*\.(clean|process)$"
    found = _git(root, "config", "--includes", "-z", "--show-scope", "--name-only", "--get-regexp", pattern)
    if found is None or found.returncode not in (0, 1):  # 1: there is none
        return None
    fields = found.stdout.split("\0")
    names = [name for scope, name in zip(fields[::2], fields[1::2], strict=False) if scope not in ("system", "global")]
    if any("=" in name for name in names):
        return None
    return [option for name in names for option in ("-c", f"{name}=")]


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str] | None:
    """What git answers; None where it is not there, or too slow."""
    line = ["git", "-C", str(root), *_HARMLESS, *words]
    try:
        return subprocess.run(
            line, capture_output=True, text=True, errors="surrogateescape", timeout=5, env=os.environ | _QUIET
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def fingerprints(data: Mapping[str, Any]) -> dict[str, object]:
    """SHA-256 of the pairs of every data file."""
    fields = data.get("fields")
    named = [name for name in ("train", "val", "test") if data.get(name)]
    found: dict[str, Any] = {name: pairs.fingerprint(data[name], fields) for name in named}
    if data.get("source"):
        sources = [mixture.parse(text) for text in data["source"]]
        found["train"] = pairs.mixture_fingerprint(sources, fields)
    if extra := data.get("extra_val"):
        found["extra_val"] = {name: pairs.fingerprint(path, fields) for name, path in extra.items()}
    return found
