"""Where a run comes from: versions, git commit, fingerprints of its data. Nothing of the environment is recorded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from rmtui import __version__
from trainer import pairs

PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")


def facts(root: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """[versions], [git] and [fingerprints] of spec.toml."""
    return {"versions": versions(), "git": git(root), "fingerprints": fingerprints(data)}


def versions() -> dict[str, str]:
    """Of the packages that decide figures; what is not installed is left out. Imports none of them."""
    found = {"python": sys.version.split()[0], "rmtui": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git(root: Path) -> dict[str, Any]:
    """Commit of the workspace, and whether files differ from it; empty where there is no git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def fingerprints(data: Mapping[str, Any]) -> dict[str, Any]:
    """SHA-256 of the pairs of every data file."""
    found: dict[str, Any] = {name: pairs.fingerprint(data[name]) for name in ("train", "val") if data.get(name)}
    if extra := data.get("extra_val"):
        found["extra_val"] = {name: pairs.fingerprint(path) for name, path in extra.items()}
    return found
