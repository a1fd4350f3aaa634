"""Opening a workspace whose many run folders no index knows yet: the list grows, the top line says how far it is."""

from __future__ import annotations

import support
from app_pilot import opened, sees, shown, until

from rmtui.app import feed
from rmtui.app.app import RmtuiApp
from rmtui.app.feed import ReadingFolders


async def test_a_long_first_reading_is_told_as_it_goes(ws, monkeypatch):
    support.make_runs(ws, 40)
    monkeypatch.setattr(feed, "READING_SECONDS", 0.0)
    heard: list[ReadingFolders] = []
    monkeypatch.setattr(RmtuiApp, "on_reading_folders", lambda self, message: heard.append(message))
    async with opened(ws.root):
        assert len(heard) >= 2 and [word.done for word in heard] == sorted(word.done for word in heard)
        assert heard[-1].done == heard[-1].of == 40


async def test_the_top_line_says_how_far_it_is_until_it_is_done(ws):
    support.make_runs(ws, 2)
    async with opened(ws.root) as pilot:
        pilot.app.post_message(ReadingFolders(1500, 2000))
        await sees(pilot, "reading 1,500 of 2,000 run folders")
        pilot.app.feed.sync()
        await until(pilot, lambda: "reading" not in shown(pilot).split("\n")[0])


async def test_before_the_first_look_nothing_is_said_of_runs_that_may_be_there(ws, monkeypatch):
    support.make_runs(ws, 2)
    look = feed.Feed.sync
    monkeypatch.setattr(feed.Feed, "sync", lambda self: None)
    app = RmtuiApp(ws, ws.root)
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, "reading run folders…")
        assert "No runs yet" not in shown(pilot)
        look(app.feed)
        await until(pilot, lambda: "reading" not in shown(pilot) and "2 runs" in shown(pilot))


async def test_a_file_among_the_runs_is_none_after_the_first_look(ws):
    (ws.runs / "notes.txt").write_text("read me")
    async with RmtuiApp(ws, ws.root).run_test(size=(100, 30)) as pilot:
        await sees(pilot, "No runs yet")
