"""Scoring, merging and verifying load a model, whose folder may hold code: a stranger's record grants it no trust."""

from __future__ import annotations

import json
import subprocess

import launch_kit as kit
import pytest

from rmtui.errors import UserError
from rmtui.operations.model_folders import TRUST, refuse_foreign_code
from rmtui.runs.folder import RunFolder


def model_of(run: RunFolder):
    (run.path / "model").mkdir()
    return run.path / "model"


def run_with_code(ws) -> RunFolder:
    spec = kit.spec()
    return RunFolder.create(ws.runs, spec | {"config": {**spec["config"], "trust_remote_code": True}})


def test_a_merged_folder_of_a_stranger_grants_itself_no_trust(tmp_path, monkeypatch):
    (tmp_path / "training.json").write_text(json.dumps({"config": {"trust_remote_code": True}}))
    with pytest.raises(UserError, match="was not trained here"):
        refuse_foreign_code(tmp_path)
    monkeypatch.setenv(TRUST, "1")
    refuse_foreign_code(tmp_path)


def test_a_run_that_came_by_copy_grants_itself_no_trust_and_an_own_one_has_it(ws, tmp_path):
    run = run_with_code(ws)
    model = model_of(run)
    refuse_foreign_code(model)
    refuse_foreign_code(run.path)
    other = kit.make_workspace(tmp_path / "other")
    subprocess.run(["cp", "-r", run.path, other.runs], check=True)
    for folder in (other.runs / run.id, other.runs / run.id / "model"):
        with pytest.raises(UserError, match="was not trained here"):
            refuse_foreign_code(folder)


def test_a_model_without_code_needs_no_trust(tmp_path):
    refuse_foreign_code(tmp_path)
