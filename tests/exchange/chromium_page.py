"""A page in a real Chromium, driven over the DevTools protocol: keys and clicks as a person sends them."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any


class ChromiumPage:
    """One tab. Positions are CSS pixels from the top left."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: object) -> Mapping[str, Any]:
        number = next(self._numbers)
        await self._connection.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._connection.receive_json(timeout=60)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def value(self, script: str) -> Any:
        """What an expression is on the page."""
        return (await self.call("Runtime.evaluate", expression=script, returnByValue=True))["result"].get("value")

    async def until(self, script: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not await self.value(script):
            assert time.monotonic() < deadline, script
            await asyncio.sleep(0.05)

    async def press(self, text: str) -> None:
        """A printable key."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=text, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=text)

    async def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@asynccontextmanager
async def chromium_page(chromium: str, address: str, profile: Path) -> AsyncIterator[ChromiumPage]:
    """The address, opened in a headless Chromium of its own."""
    import aiohttp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1100,700"]
    command += [f"--user-data-dir={profile}", f"--remote-debugging-port={port}", "--disable-background-networking"]
    with subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as browser:
        try:
            tabs = f"http://127.0.0.1:{port}/json"
            tab = await asyncio.to_thread(_tab, tabs)
            async with aiohttp.ClientSession() as session, session.ws_connect(tab, max_msg_size=0) as connection:
                page = ChromiumPage(connection)
                await page.call("Page.navigate", url=address)
                yield page
        finally:
            browser.kill()


def _tab(address: str) -> str:
    """The websocket of the browser's first tab, once it listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
        except (OSError, StopIteration):
            assert time.monotonic() < deadline
            time.sleep(0.1)
