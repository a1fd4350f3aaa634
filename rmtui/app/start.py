"""From the command line into the app: the environment it needs, the workspace it opens, the exit code it leaves."""

from __future__ import annotations

import gc
import locale
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from rmtui.errors import UserError
from rmtui.runs import lock_notice
from rmtui.workspace import SETTINGS_FILE, Workspace, open_workspace


def start(workspace: str | None, run_id: str = "", lang: str = "") -> int:
    """Open the app, on this run; UserError where there is no terminal, or the workspace is faulty."""
    served = "TEXTUAL_DRIVER" in os.environ  # a browser is the terminal, behind pipes
    if not served and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("the app needs a terminal", "input or output is redirected", "use a verb: rmtui --help")
    gc.disable()  # what imports and the first frame make is kept; the app collects again once it is up
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    folder = Path(workspace or ".").expanduser().absolute()
    found = find_workspace(folder)
    from rmtui.app.app import RmtuiApp

    lock_notice.listen(None)
    app = RmtuiApp(found, folder, ascii_only(os.environ) or (found is not None and found.settings.ascii), lang)
    app.awaited = run_id
    app.run()
    return app.return_code or 0


def find_workspace(folder: Path) -> Workspace | None:
    """The workspace in `folder`; None where there is none yet. A faulty one is an error."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "", "name an existing folder with -C DIR")
    if (folder / SETTINGS_FILE).is_file() or ((folder / "runs").is_dir() and (folder / "presets").is_dir()):
        return open_workspace(folder)
    return None


def ascii_only(environment: Mapping[str, str]) -> bool:
    """RMTUI_ASCII=1, a Linux console, or a locale without UTF-8: no braille, no boxes, no signs beyond ASCII."""
    if environment.get("RMTUI_ASCII"):
        return environment["RMTUI_ASCII"] != "0"
    return environment.get("TERM") == "linux" or "UTF" not in locale.getpreferredencoding(False).upper()
