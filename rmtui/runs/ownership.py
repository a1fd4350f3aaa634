"""Whose runs are: those of this workspace, and those that came by copy, whose commands a person has to see first."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rmtui.runs import identity
from rmtui.runs.folder import RunFolder, run_folders


def own(root: Path) -> identity.Identity:
    """Make a copy a workspace of its own, with a new id; every run in it is its own from now on, imports aside."""
    with identity.writing(root):
        known = identity.read(root)
        before = (*known.formerly, known.id) if known else ()
        present = tuple(run.id for run in run_folders(root / "runs") if not run.origin.exists())
        made = identity.Identity(
            os.urandom(8).hex(), str(root.resolve()), before, known.launches if known else 0, present
        )
        identity.write(root, made)
    return made


def own_run(root: Path, run: RunFolder) -> None:
    """Take one run that came by copy as this workspace's own."""
    identity.ensure(root)
    with identity.writing(root):
        known = identity.read(root)
        if known is not None and run.id not in known.runs:
            identity.write(root, replace(known, runs=(*known.runs, run.id)))


def foreign(root: Path, run: RunFolder) -> bool:
    """Whether a run was made elsewhere, as far as is known: its command is not run before a person has seen it."""
    here = identity.read(root)
    if here is None:
        return True  # nothing was launched here
    made_in = run.spec().get("workspace")
    return run.origin.exists() or not (made_in in (here.id, *here.formerly) or run.id in here.runs)
