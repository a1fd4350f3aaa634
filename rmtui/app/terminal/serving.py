"""The app in a browser, through textual-serve: loopback only unless told otherwise, and never without its token.

The token comes once in the address and lives on in a cookie, since textual-serve's page opens its websocket by itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rmtui.errors import UserError, install

COOKIE = "rmtui-token"


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
            "use ssh -L 8000:127.0.0.1:8000, or say --any-address",
        )
    token = secrets.token_urlsafe(24)
    server = _server(folder, host, port, public_url, token)
    print(f"rmtui in a browser: {server.public_url}/?token={token}", flush=True)
    print("Ctrl-C ends it; trainings go on.", flush=True)
    server.serve()
    return 0


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
            app.middlewares.append(guard(token, self.public_url))
            return app

    command = shlex.join([sys.executable, "-m", "rmtui", "-C", str(folder)])
    return Guarded(command, host=host, port=port, title="rmtui", public_url=public_url)


def guard(token: str, public_url: str) -> Any:
    """Middleware: the token as `?token=` becomes a cookie; without cookie, or from another site's page, 403."""
    from aiohttp import web

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.query.get("token", "")
        if request.path == "/" and hmac.compare_digest(given.encode(), token.encode()):
            answer = web.HTTPFound("/")
            answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
            return answer
        known = hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode())
        origin = request.headers.get("Origin", public_url)
        if not known or origin != public_url:
            return web.Response(status=403, text="Open the address that `rmtui serve` printed, token included.\n")
        return await handler(request)

    return check
