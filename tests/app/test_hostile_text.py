"""A hostile text in everything that a person can open: names, notes, tags, presets, options, pairs, file names, logs.
No screen, dialog, field or toast hands on what a terminal would obey."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import support
import tomlkit
from app_pilot import opened, until
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App
from textual.strip import Strip

from rmtui.app.terminal.output import harmless_strip

HOSTILE = "a\u202eb\x1b[31mc\x1b]0;title\x07d\x9b2Je\u2066f\u200bg\x08i\ufeffj"
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
SCENES = {
    "home": (),
    "filter": ("slash", "a", "b", "enter"),
    "run": ("escape", "enter"),
    "log": ("3",),
    "search": ("slash", "a", "enter"),
    "details": ("5",),
    "advice": ("escape", "escape", "escape", "a"),
    "pairs": ("escape", "P"),
    "queue": ("escape", "Q"),
    "data": ("escape", "D"),
    "presets": ("escape", "n"),
    "form": ("d", "enter"),
    "launch": ("ctrl+r",),
    "name": ("escape", "escape", "escape", "e"),
    "note": ("escape", "o"),
    "tags": ("escape", "t"),
    "group": ("escape", "F"),
    "delete": ("escape", "delete"),
    "compare": ("escape", "G", "space", "k", "space", "c"),
    "palette": ("escape", "ctrl+p"),
}


def validation(folder: Path) -> None:
    rows = [{"id": f"{HOSTILE}:{n}", "chosen": 0.5 - n % 2, "rejected": 0.1 * n} for n in range(6)]
    (folder / "validation").mkdir(exist_ok=True)
    for epoch in (1, 2, 3):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "validation" / f"epoch-{epoch}.jsonl").write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ws = support.make_workspace(tmp_path / "rm")
    pairs = [
        {"prompt": f"{HOSTILE} {n}?", "chosen": f"yes {HOSTILE}", "rejected": f"{HOSTILE} no", "source": HOSTILE}
        for n in range(6)
    ]
    name = "he\u202elp\x1b[31m\u200b"
    for part in ("train", "val"):
        path = ws.data / part / f"{name}_pairs.jsonl"
        path.write_text("".join(json.dumps(pair | {"id": f"{HOSTILE}:{n}"}) + "\n" for n, pair in enumerate(pairs)))
    preset = {"title": HOSTILE, "purpose": HOSTILE, "learning_rate": 1e-5, "model": f"models/{HOSTILE}"}
    (ws.root / "presets").mkdir(exist_ok=True)
    (ws.root / "presets" / "D.toml").write_text(tomlkit.dumps(preset))
    (ws.root / "presets" / "E.toml").write_text(tomlkit.dumps({HOSTILE: HOSTILE}))
    (ws.root / "workspace.toml").write_text(tomlkit.dumps({"model": f"models/{HOSTILE}", "data": name}))
    for n in range(3):
        config = support.config(**{"model": f"m{HOSTILE}", "data.val": str(ws.data / "val" / f"{name}_pairs.jsonl")})
        folder = support.make_run_folder(
            ws,
            name=f"run{n} {HOSTILE}",
            meta={"note": HOSTILE, "tags": [f"t{HOSTILE}"], "group": HOSTILE},
            outcome="failed" if n else "finished",
            reason=f"{HOSTILE}\rover",
            log=f"step 1 {HOSTILE}\nstep 2\rover {HOSTILE}\n",
            preset=HOSTILE,
            data=name,
            config=config,
        )
        validation(folder.path)
    return ws.root


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text of every frame on its way to the terminal."""
    frames: list[str] = []

    def display(self: App[None], screen: object, frame: object) -> None:
        if frame is not None:
            frames.append("\n".join(segment.text for segment in self.console.render(frame) if not segment.control))

    monkeypatch.setattr(App, "_display", display)
    return frames


@pytest.mark.parametrize("size", [(80, 24), (160, 45)], ids=["80x24", "160x45"])
async def test_no_screen_hands_a_hostile_text_on(root: Path, size: tuple[int, int], sent: list[str]) -> None:
    wrong: dict[str, str] = {}
    seen: set[str] = set()
    async with opened(root, size) as pilot:
        for name, keys in SCENES.items():
            for key in keys:
                await pilot.press(key)
                await until(pilot, lambda: all(worker.is_finished for worker in pilot.app.workers))
            await pilot.pause()
            seen.add(type(pilot.app.screen).__name__)
            frames = "\n".join(sent)
            assert frames, name
            if FORBIDDEN.search(frames):
                wrong[name] = next(repr(line) for line in frames.split("\n") if FORBIDDEN.search(line))
            sent.clear()
    assert wrong == {}
    assert len(seen) >= 10, seen


def test_a_strip_stays_as_wide_as_it_was() -> None:
    for text in (HOSTILE, "👩\u200d👩\u200d👧 x", "می\u200cخواهم", "plain", "a\tb\x9b2J"):
        strip = harmless_strip(Strip([Segment(text)]))
        assert strip.cell_length == cell_len(text) == cell_len(strip.text)
