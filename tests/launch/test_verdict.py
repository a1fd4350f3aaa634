"""Outcomes from what an attempt left behind, where no test can produce the ending itself, or not in time."""

from __future__ import annotations

import json

import launch_kit as kit
import pytest

from rmtui.launch.verdict import Observed, judge, tail
from rmtui.runs.model import State
from trainer import ranks
from trainer.data.chat import DataError

ELASTIC = (
    "E1122 18:00:00.1 1 torch/distributed/elastic/multiprocessing/api.py:1003] "
    "failed (exitcode: {}) local_rank: {} (pid: 77) of binary: python\n"
)


@pytest.fixture
def attempt(ws):
    run = kit.RunFolder.create(ws.runs, kit.spec())
    made, lock = run.new_attempt(1)
    yield made
    kit.os.close(lock)


def write(attempt, name: str, document) -> None:
    (attempt.path / name).write_text(document if isinstance(document, str) else json.dumps(document))


def test_a_killed_rank_is_the_cause_and_the_others_complaint_its_echo(attempt):
    write(attempt, "logs/launch.log", ELASTIC.format(-9, 1))
    write(attempt, "failure-rank0.json", {"type": "RuntimeError", "text": "Connection closed by peer", "step": 412})
    write(attempt, "ranks/rank1", "412 3 1.0\n")
    found = judge(attempt, Observed(1, out_of_memory=True))
    assert (found.outcome, found.reason) == (State.KILLED, "out of memory, rank 1 at step 412")


def test_the_trainers_own_error_is_its_sentence_and_a_librarys_error_has_its_name(attempt):
    ranks.write_failure(attempt.path, 0, DataError("bad.jsonl, line 4: 'chosen' is missing"), {"step": 3, "epoch": 0.1})
    assert judge(attempt, Observed(1)).reason == "bad.jsonl, line 4: 'chosen' is missing (rank 0) at step 3"
    ranks.write_failure(attempt.path, 0, KeyError("score"), {"step": 3, "epoch": 0.1})
    assert judge(attempt, Observed(1)).reason == "KeyError: 'score' (rank 0) at step 3"


def test_without_the_kernels_word_a_kill_is_not_called_out_of_memory(attempt):
    write(attempt, "logs/launch.log", ELASTIC.format(-9, 1))
    assert judge(attempt, Observed(1)).reason == "rank 1 was killed (SIGKILL)"


def test_a_crash_in_native_code_is_a_failure(attempt):
    write(attempt, "logs/launch.log", ELASTIC.format(-11, 0))
    found = judge(attempt, Observed(1))
    assert found.outcome == State.FAILED and "SIGSEGV" in found.reason


def test_one_process_under_accelerate_tells_its_code_in_a_traceback(attempt):
    words = "subprocess.CalledProcessError: Command '['python']' died with <Signals.SIGKILL: 9>.\n"
    write(attempt, "logs/launch.log", words)
    assert judge(attempt, Observed(1)).outcome == State.KILLED


def test_a_finished_result_wins_over_late_stops_and_codes(attempt):
    write(attempt, "result.json", {"outcome": "finished", "reason": "epochs", "step": 12})
    assert judge(attempt, Observed(1, stop={"by": "ann"})).outcome == State.FINISHED
    assert judge(attempt, Observed(-9)).outcome == State.FINISHED


def test_a_refused_configuration_is_told_in_its_own_words(attempt):
    write(attempt, "result.json", {"outcome": "failed", "reason": "spec.toml: r: 0 is out of range", "step": 0})
    write(attempt, "logs/launch.log", ELASTIC.format(2, 0))
    assert judge(attempt, Observed(1)).reason == "spec.toml: r: 0 is out of range"


def test_a_term_that_nobody_here_asked_for_is_an_interruption(attempt):
    write(attempt, "result.json", {"outcome": "stopped", "reason": "SIGTERM", "step": 7})
    found = judge(attempt, Observed(0))
    assert (found.outcome, found.reason) == (State.INTERRUPTED, "a SIGTERM from outside at step 7")
    assert judge(attempt, Observed(0, stop={"by": "ann"})).outcome == State.STOPPED


def test_a_suggestion_names_only_what_changes(attempt):
    suggest = {"batch_size": 2, "gradient_accumulation_steps": 4, "max_length": 512}
    run = kit.RunFolder(attempt.path.parent)
    failure = {"type": "MemoryError", "text": "out of memory", "step": 3, "suggest": suggest}
    write(attempt, "failure-rank1.json", failure)
    kit.write_toml(run.path / "spec.toml", run.spec() | {"config": {"max_length": 512}})
    assert judge(attempt, Observed(1)).reason.endswith("rank 1 at step 3: try batch size 2 × accumulation 4")
    kit.write_toml(run.path / "spec.toml", run.spec() | {"config": {"max_length": 1024}})
    assert judge(attempt, Observed(1)).reason.endswith("accumulation 4, length 512")


def test_last_lines_carry_no_escape_sequences_and_no_progress_bars(tmp_path):
    log = tmp_path / "rank0.log"
    log.write_bytes(b"one\n\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07\n10%\r50%\r100% done\n\xff\x00tail\n\n")
    assert tail(log) == ["one", "red bell", "100% done", "�tail"]
