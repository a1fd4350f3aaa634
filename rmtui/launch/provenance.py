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
    """Commit of the workspace, and whether files differ from it; empty where there is no git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    return {"commit": commit, "dirty": bool(_git(root, *_no_filters(root), *status))}


_HARMLESS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
"""A repository's own configuration names commands, and the repository may be somebody else's."""


def _no_filters(root: Path) -> list[str]:
    """Options that switch off the content filters that the repository itself configures: they are commands, too."""
    found = _git(root, "config", "--local", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process)$")
    return [option for name in found.split("\n") if name for option in ("-c", f"{name}=")]


def _git(root: Path, *words: str) -> str:
    line = ["git", "-C", str(root), *_HARMLESS, *words]
    env = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=5, env=env)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


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
