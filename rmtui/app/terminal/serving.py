"""The app in a browser, through textual-serve: loopback only unless asked otherwise, and never without its token.

The token comes once in the address and lives on in a cookie, since textual-serve's page opens its websocket by itself.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import ipaddress
import os
import secrets
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from rmtui.errors import UserError, install
from rmtui.translation import spoken, tr

FOCUS = b"""<script>
  // Keys go to the terminal as soon as it is there, and again after a look at another window.
  const focusTerminal = () => {
    const keys = document.querySelector(".xterm-helper-textarea");
    if (keys) keys.focus();
    return keys !== null;
  };
  const waiting = setInterval(() => { if (focusTerminal()) clearInterval(waiting); }, 50);
  window.addEventListener("focus", focusTerminal);
</script></body>"""
"""At the end of textual-serve's page, whose terminal takes no key before a click."""
LARGEST = 1000
"""Columns and lines of a browser's terminal."""
EXIT_PATIENCE = 1.5
"""Seconds that open pages and their apps have when the server is asked to end."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(folder: Path, host: str, port: int, any_address: bool, public_url: str | None = None) -> int:
    """Serve until Ctrl-C; prints the address with its token. UserError without textual-serve or on an open address."""
    if not is_loopback(host) and not any_address:
        raise UserError(
            f"will not serve on {host}",
            "everyone who reaches that address could start programs here",
            "use ssh -L 8000:127.0.0.1:8000, or add --any-address",
        )
    _check_free(host, port)
    if public_url is None and ":" in host:
        public_url = f"http://[{host}]:{port}"
    token = secrets.token_urlsafe(24)
    server = _server(folder, host, port, public_url, token)
    for line in instructions(server.public_url, host, port, token):
        print(line, flush=True)
    try:
        server.serve()
    except OSError as error:  # another program was faster
        raise _taken(host, port, error) from None
    return 0


def instructions(url: str, host: str, port: int, token: str) -> Iterator[str]:
    """What to open, and how from another machine: an address that only this machine can reach needs a tunnel."""
    yield tr(f"rmtui in a browser: {url}/?token={token}")
    if is_loopback(host):
        there = f"[{host}]" if ":" in host else host
        yield tr(f"from your laptop first: ssh -L {port}:{there}:{port} {socket.gethostname()}")
    yield tr("Ctrl-C ends it; runs keep training.")


def _check_free(host: str, port: int) -> None:
    """UserError where the address cannot be listened on."""
    if not 0 < port < 1 << 16:
        raise UserError(
            f"{port} is not a port", "ports are whole numbers from 1 to 65535", "choose another one: --port N"
        )
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except (OSError, OverflowError) as error:
        raise _taken(host, port, error) from None


def _taken(host: str, port: int, error: Exception) -> UserError:
    taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    why = "another program is listening there" if taken else str(error)
    return UserError(f"cannot serve on {host}, port {port}", why, "choose another one: --port N", exit_code=1)


def _end_at_once() -> None:
    """The pages' apps are ended, and this process: trainings are nobody's children and go on."""
    doomed = [os.getpid()]
    for pid in doomed:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                doomed += [int(child) for child in task.read_text().split()]
    for pid in doomed[1:]:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _server(folder: Path, host: str, port: int, public_url: str | None, token: str) -> Any:
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError:
        raise UserError("cannot serve", "textual-serve is not installed", install("serve")) from None

    class Guarded(Server):
        """textual-serve behind the token, without its banner."""

        def initialize_logging(self) -> None:
            """Nothing: an access log would hold the token."""

        async def on_startup(self, app: web.Application) -> None:
            """Nothing: the address has been printed, with its token."""

        async def _make_app(self) -> web.Application:
            app = await super()._make_app()
            app.middlewares.append(guard(token, self.public_url, port))
            return app

        def request_exit(self, *_: Any) -> None:
            """An open page would keep the server, and its app, for as long as it is open."""
            end = threading.Timer(EXIT_PATIENCE, _end_at_once)
            end.daemon = True
            end.start()
            super().request_exit()

        async def _process_messages(self, websocket: Any, app_service: Any) -> None:
            resize = app_service.set_terminal_size

            async def bounded(width: int, height: int) -> None:
                await resize(min(int(width), LARGEST), min(int(height), LARGEST))

            app_service.set_terminal_size = bounded
            await super()._process_messages(websocket, app_service)

    command = shlex.join([sys.executable, "-m", "rmtui", "-C", str(folder), "--lang", spoken()])
    return Guarded(command, host=host, port=port, title="rmtui", public_url=public_url)


def guard(token: str, public_url: str, port: int) -> Any:
    """Middleware: the token as `?token=` becomes a cookie; without cookie, or from another site's page, 403.

    Browsers share cookies over the ports of a host, so this one has the port in its name.
    """
    from aiohttp import web

    cookie = f"rmtui-token-{port}"

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.query.get("token", "")
        if request.path == "/" and hmac.compare_digest(given.encode(), token.encode()):
            answer = web.HTTPFound("/")
            answer.set_cookie(cookie, token, httponly=True, samesite="Strict")
            return answer
        known = hmac.compare_digest(request.cookies.get(cookie, "").encode(), token.encode())
        origin = request.headers.get("Origin", public_url)
        if not known or origin != public_url:
            return web.Response(status=403, text="Open the address that `rmtui serve` printed, token included.\n")
        sizes = [request.query.get(name, "1") for name in ("width", "height")]
        if not all(size.isascii() and size.isdigit() and len(size) < 5 and 1 <= int(size) <= LARGEST for size in sizes):
            return web.Response(status=400, text=f"A terminal has 1 to {LARGEST} columns and lines.\n")
        page = await handler(request)
        if request.path == "/" and isinstance(page, web.Response) and isinstance(page.body, bytes):
            page.body = page.body.replace(b"</body>", FOCUS)
        return page

    return check
