"""The report and the served app, as a real Chromium sees them; without Chromium those tests are skipped."""

from __future__ import annotations

import http.cookiejar
import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium_page import chromium_page
from support import make_run_folder, make_workspace

from rmtui.app.terminal.serving import instructions, is_loopback
from rmtui.operations import exchange
from rmtui.workspace import Workspace

LINE = 19
"""Pixels of a line in the page's font of 16."""
INKED = """(x, y) => {
    const layer = document.querySelector(".xterm-text-layer");
    const pixels = layer ? layer.getContext("2d").getImageData(x, y - 5, 120, 10).data : [];
    return pixels.some((value, n) => n % 4 < 3 && value > 150);
}"""
"""Whether there is writing to the right of a place."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_workspace(tmp_path / "ws")
    make_run_folder(ws, "helpful-A-1")
    return ws


def browse(address: str, profile: Path, *more: str) -> str:
    """The page's DOM after it has been laid out."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        f"--user-data-dir={profile}",
    ]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    done = subprocess.run([*command, *quiet, *more, "--dump-dom", address], capture_output=True, text=True, timeout=120)
    return done.stdout


@needs_chromium
def test_the_report_opens_with_its_curves_and_asks_for_nothing(ws: Workspace, tmp_path: Path) -> None:
    exchange.export(ws, ["helpful-A-1"], "", tmp_path / "run.html")
    dom = browse(f"file://{tmp_path}/run.html", tmp_path / "profile")
    assert dom.count("<polyline") >= 3
    assert "helpful-A-1" in dom
    assert "src=" not in dom and "href=" not in dom


@pytest.fixture
def served(ws: Workspace) -> Iterator[str]:
    """The address that `rmtui serve` prints, token included."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().rpartition(" ")[2].strip()
        _until_it_listens(port, server)
        yield address
        server.terminate()
        server.wait(20)


def _until_it_listens(port: int, server: subprocess.Popen[str]) -> None:
    from support import wait_until

    def listens() -> bool:
        assert server.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, 60)


def test_without_the_token_nothing_is_served(served: str) -> None:
    base = served.partition("/?")[0]
    for path in ("/", "/?token=guess", "/ws", "/static/js/textual.js"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(base + path)
        assert refused.value.code == 403


def test_the_token_opens_the_page_and_a_foreign_page_may_not_use_the_cookie(served: str) -> None:
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = opener.open(served)
    assert page.status == 200 and "token" not in page.url
    foreign = urllib.request.Request(page.url, headers={"Origin": "http://elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(foreign)
    assert refused.value.code == 403


async def test_the_app_starts_behind_its_websocket(served: str) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    base, _, query = served.partition("/?")
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of a bare address
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(f"{base}/?{query}") as page:
            assert page.status == 200
        shown = b""
        async with session.ws_connect(f"{base}/ws?width=100&height=30", headers={"Origin": base}) as socket_:
            while b"helpful-A-1" not in shown:
                message = await socket_.receive(timeout=60)
                assert message.type == aiohttp.WSMsgType.BINARY or message.type == aiohttp.WSMsgType.TEXT, message
                shown += message.data if isinstance(message.data, bytes) else b""


@needs_chromium
def test_a_browser_shows_the_page_around_it(served: str, tmp_path: Path) -> None:
    dom = browse(served, tmp_path / "profile", "--virtual-time-budget=8000")
    assert "textual-terminal" in dom and "rmtui" in dom


@needs_chromium
async def test_keys_work_without_a_click_and_a_click_selects_the_run_under_it(
    ws: Workspace, served: str, tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp")
    wanted = make_run_folder(ws, "helpful-A-2", created=1.99e9)
    make_run_folder(ws, "helpful-A-3", created=2e9)
    async with chromium_page(str(CHROMIUM), served, tmp_path / "profile") as page:
        await page.until("document.body.className.includes('-first-byte')")
        await page.until("document.activeElement.className === 'xterm-helper-textarea'")
        for line in (2.5, 3.5):  # two runs: without runs the first line of the list is empty
            await page.until(f"({INKED})(40, {line * LINE})")
        await page.click(150, 3.5 * LINE)  # below the top line, the heading and the newest run
        await page.press("q")
        await page.until("document.body.className.includes('-closed')")
    remembered = json.loads((ws.state_dir / "app.json").read_text())
    assert remembered["cursor"] == wanted.id


def test_what_serve_prints_says_how_to_reach_it_from_another_machine() -> None:
    lines = list(instructions("http://127.0.0.1:8001", "127.0.0.1", 8001, "secret"))
    assert lines[0].endswith("http://127.0.0.1:8001/?token=secret")
    assert f"ssh -L 8001:127.0.0.1:8001 {socket.gethostname()}" in lines[1]
    assert not any("ssh" in line for line in instructions("http://10.0.0.5:80", "10.0.0.5", 80, "secret"))


def test_an_address_that_others_reach_is_refused(ws: Workspace) -> None:
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), "serve", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--any-address" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "safe"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.5", False)]
)
def test_loopback_is_told_from_the_rest(host: str, safe: bool) -> None:
    assert is_loopback(host) is safe
