"""Draws docs/pictures/*.svg: the real app, without a terminal, in a workspace that `picture_runs.py` fabricates.

python docs/pictures.py                     every picture
python docs/pictures.py home run --out DIR  these, into another folder
"""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests" / "app"))
sys.path.insert(0, str(DOCS.parent / "tests"))

import picture_runs  # noqa: E402
from app_pilot import opened, sees, until  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

WIDE, NARROW, LARGE = (140, 40), (80, 24), (132, 42)
SHOWN_REPO = "~/rmtui"
SHOWN_HOME = "/home/mirabel"
"""Replaces the temporary folder's name, and is as long, so that nothing moves."""
CELL = 12.2
"""Width of a character in Rich's pictures."""
TEXT = re.compile(
    r'<text class="(rmtui-r\d+)" x="([^"]*)" y="([^"]*)" textLength="[^"]*"( clip-path="[^"]*")>([^<]*)</text>'
)
Keys = Callable[[Pilot[Any]], Awaitable[None]]


async def home(pilot: Pilot[Any]) -> None:
    await choose(pilot, "helpful-A-3")
    await sees(pilot, "1 running", "loss", "ends")


async def run(pilot: Pilot[Any]) -> None:
    await home(pilot)
    await pilot.press("enter")
    await sees(pilot, "learning rate", "grad norm", "reasons, what was expected")


async def form(pilot: Pilot[Any]) -> None:
    await home(pilot)
    await pilot.press("n")
    await sees(pilot, "conservative", "balanced")
    await pilot.press("enter")
    await sees(pilot, "effective batch", "16 = 4 × 2 × 2")
    await pilot.press("4", "enter")
    await sees(pilot, "differs from the file: 1")


async def compare(pilot: Pilot[Any]) -> None:
    await home(pilot)
    await mark(pilot, "helpful-B-1", "helpful-C-2")
    await pilot.press("c")
    await sees(pilot, "not distinguishable")


async def mark(pilot: Pilot[Any], *names: str) -> None:
    app: Any = pilot.app
    chosen = [app.feed.index.resolve(name) for name in names]
    for run_id in chosen:
        app.screen.table.select(run_id)
        await pilot.pause()
        await pilot.press("space")
        await until(pilot, lambda run_id=run_id: run_id in app.screen.table.marked)


async def choose(pilot: Pilot[Any], name: str) -> None:
    app: Any = pilot.app
    run_id = app.feed.index.resolve(name)
    await until(pilot, lambda: app.screen.table.select(run_id))
    await until(pilot, lambda: app.screen.current() is not None and app.screen.current().name == name)


async def advice(pilot: Pilot[Any]) -> None:
    await home(pilot)
    await choose(pilot, "helpful-B-1")
    await pilot.press("a")
    await sees(pilot, "what to try next", "what the metrics mean")


async def pairs(pilot: Pilot[Any]) -> None:
    await home(pilot)
    await choose(pilot, "helpful-C-2")
    await pilot.press("P")
    await sees(pilot, "most wrong", "chosen", "rejected")
    await pilot.press("down", "down")


async def queue(pilot: Pilot[Any]) -> None:
    await home(pilot)
    await pilot.press("Q")
    await sees(pilot, "waiting", "helpful-B-2")


async def empty(pilot: Pilot[Any]) -> None:
    await sees(pilot, "[x] 2 logs", "Other ways to start:")


SCENES: dict[str, tuple[Keys, tuple[int, int]]] = {
    "home": (home, WIDE),
    "home-80x24": (home, NARROW),
    "run": (run, LARGE),
    "form": (form, LARGE),
    "compare": (compare, LARGE),
    "advice": (advice, LARGE),
    "pairs": (pairs, WIDE),
    "queue": (queue, NARROW),
    "empty": (empty, NARROW),
}


OVER_SSH = ("home", "run", "compare", "advice")
"""Scenes that are drawn in 256 colours, too."""


async def draw(name: str, home: Path, out: Path, depth: str = "") -> None:
    """One picture; `-256` as over ssh, which forwards no COLORTERM: in xterm's 256 colours."""
    play, size = SCENES[name]
    os.environ |= {"TERM": "xterm-256color", "COLORTERM": "" if depth else "truecolor"}
    async with opened(home / ("new" if name == "empty" else "rm"), size) as pilot:
        await play(pilot)
        await settle(pilot)
        svg = portable(pilot.app.export_screenshot(title=f"rmtui · {name}", simplify=True), str(home))
        (out / f"{name}{depth}.svg").write_text(svg, "utf-8")


async def settle(pilot: Pilot[Any]) -> None:
    """Let workers end: the same picture twice in a row."""
    before = ""
    while (now := pilot.app.export_screenshot(simplify=True)) != before:
        before = now
        await asyncio.sleep(0.6)
        await pilot.pause()


def portable(svg: str, home: str) -> str:
    """No font from the network, no name of this machine, nothing that differs from drawing to drawing."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "DejaVu Sans Mono, Menlo, Consolas, monospace")
    svg = re.sub(r"terminal-\d+-", "rmtui-", svg).replace(home, SHOWN_HOME).replace(str(DOCS.parent), SHOWN_REPO)
    return TEXT.sub(_placed, svg)


def _placed(found: re.Match[str]) -> str:
    """A text without its leading spaces, which some programs drop; signs that fonts draw wider get a place each."""
    classes, x, y, clip, content = found.groups()
    text = html.unescape(content).replace("\xa0", " ")
    start = float(x) + (len(text) - len(text.lstrip())) * CELL
    text = text.strip()
    if text.isascii():
        place, length = f"{start:g}", f' textLength="{len(text) * CELL:g}"'
    else:
        place, length = " ".join(f"{start + n * CELL:g}" for n in range(len(text))), ""
    body = html.escape(text, quote=False).replace(" ", "&#160;")
    return f'<text class="{classes}" x="{place}" y="{y}"{length}{clip}>{body}</text>'


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENES))
    options.add_argument("--out", type=Path, default=DOCS / "pictures")
    args = options.parse_args()
    draw_all(args.names or list(SCENES), args.out)
    return 0


def draw_all(names: Sequence[str], out: Path) -> None:
    os.environ |= {"TZ": "UTC", "LANG": "C.UTF-8"}
    os.environ.pop("NO_COLOR", None)
    time.tzset()
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="", dir="/tmp") as home:
        os.environ |= {"HOME": home, "XDG_STATE_HOME": f"{home}/state"}
        kept = picture_runs.make(Path(home) / "rm")
        picture_runs.make_old_work(Path(home) / "new")
        for name in names:
            for depth in ("", "-256") if name in OVER_SSH else ("",):
                asyncio.run(draw(name, Path(home), out, depth))
                for state in Path(home).glob("state/rmtui/*/app.json"):
                    state.unlink()
        kept.release()


if __name__ == "__main__":
    sys.exit(main())
