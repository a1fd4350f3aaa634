"""Slurm's words in ours, in English and in Chinese: as squeue and scontrol write them."""

from __future__ import annotations

import re

import pytest

from rmtui.launch.slurm import words
from rmtui.launch.slurm.calls import SlurmJob
from rmtui.translation import speak, tr


@pytest.fixture
def chinese():
    speak("zh")
    yield
    speak("en")


def reason(own):
    return words.reason(SlurmJob("7", "PENDING", own))


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("QOSMaxGRESPerUser", "your account's GPU limit (QOSMaxGRESPerUser)"),
        ("QOSMaxCpuPerUserLimit", "Slurm's reason: QOSMaxCpuPerUserLimit"),  # has no words here
        ("ReqNodeNotAvail, UnavailableNodes:n2", "a node it needs is down, drained or reserved (ReqNodeNotAvail,_Unav"),
        ("job requeued in held state", "it was requeued and is held: scontrol release (job_requeued_in_held_state)"),
        ("None", "waiting for the scheduler"),
    ],
)
def test_a_reason_in_words_with_slurms_own(own, said):
    assert reason(own).startswith(said)


def test_both_spellings_of_a_reason_are_one():
    text = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
    assert reason(text) == reason(text.replace(" ", "_")) and len(reason(text)) < 130


def left(text):
    """English words beside Slurm's own, which stand in brackets, and commands to type."""
    bare = re.sub(r"（[^（）]*）|scontrol \w+|scancel", "", tr(text))
    return re.findall(r"[A-Za-z]{2,} [a-z]+|[a-z]{3,}", re.sub(r"GPU|QOS|Slurm|rmtui", "", bare))


def test_each_reason_and_each_end_is_chinese_where_it_stands_in_a_list(chinese):
    waits = [f"{text} ({own})" for own, text in words.REASONS.items()]
    waits = [each for text in waits for each in (text, f"{text}, expected to start at 09:30")]
    ends = [text for _, text in words.OUTCOMES.values()]
    ends += [f"{text} at step 5; a checkpoint of step 5 is there, requeued 3 times, {waits[0]}" for text in ends]
    assert {text: found for text in [*waits, *ends] if (found := left(text))} == {}
