"""An attempt whose successor has begun, on a node that nobody could end it on, publishes nothing any more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trainer import ranks
from trainer.loop import checkpoint


def test_a_superseded_attempt_publishes_no_checkpoint(tmp_path):
    old = tmp_path / "attempt-2"
    old.mkdir()
    session = SimpleNamespace(request=SimpleNamespace(attempt=old))
    checkpoint.refuse_superseded(session, tmp_path / "checkpoints/step-000010")
    (tmp_path / "attempt-3").mkdir()
    with pytest.raises(checkpoint.NotSaved, match="a newer attempt of this run has begun"):
        checkpoint.refuse_superseded(session, tmp_path / "checkpoints/step-000010")


def test_earlier_attempts_and_starts_without_one_fence_nothing(tmp_path):
    for name in ("attempt-1", "attempt-3", "attempt-x"):
        (tmp_path / name).mkdir()
    assert not ranks.superseded(tmp_path / "attempt-3") and not ranks.superseded(tmp_path / "attempt-x")
    assert not ranks.superseded(None)
