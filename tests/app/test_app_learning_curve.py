"""The learning curve from the app: what it shows, and the runs that it lacks, asked for first."""

from __future__ import annotations

import json

import support
from app_pilot import NARROW, opened, sees, shown, told, until

from rmtui.operations import launch


def pairs(ws, count):
    rows = [{"id": f"p{n}", "prompt": f"q{n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(count)]
    (ws.root / "data/train/helpful_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


async def test_the_runs_that_it_lacks_are_launched_after_asking(ws, monkeypatch):
    pairs(ws, 400)
    half = {"train": "", "source": ["data/train/helpful_pairs.jsonl;limit=200"]}
    support.make_run_folder(ws, "half", config=support.config(data=half))
    support.make_run_folder(ws, "all", created=support.START + 1)
    started = []

    def start(ws, plan):  # a stand-in: nothing is trained here
        started.append(plan.spec["config"]["data"]["source"])
        return "a-run"

    monkeypatch.setattr(launch, "start", start)
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "2 runs")
        await pilot.press("percent_sign")
        question = await sees(pilot, "Train all again on 100 of its pairs?")
        assert "200 pairs" in question and "400 pairs" in question and "From 200 to 400 training pairs" in question
        await pilot.press("n")
        await until(pilot, lambda: "again on 100" not in shown(pilot))
        assert started == []
        await pilot.press("percent_sign")
        await sees(pilot, "Train all again on 100 of its pairs?")
        await pilot.press("y")
        await told(pilot, "launched: a-run")
    assert started == [[f"{ws.root}/data/train/helpful_pairs.jsonl;limit=100"]]


async def test_a_run_whose_pairs_are_not_here_says_so(ws):
    support.make_runs(ws, 1)
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "1 run")
        await pilot.press("percent_sign")
        await told(pilot, "cannot be counted")
