"""Whether logging out ends what was started: systemd-logind's KillUserProcesses, and lingering."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

PLACES = ("/usr/lib/systemd", "/run/systemd", "/etc/systemd")


def kills_on_logout(places: tuple[str, ...] = PLACES) -> bool:
    """What logind's configuration says; the last file that says it wins, as systemd reads them."""
    files: list[Path] = []
    for place in places:
        files += [Path(place) / "logind.conf", *sorted((Path(place) / "logind.conf.d").glob("*.conf"))]
    setting = "no"
    for file in files:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            setting = value.strip().lower() if key.strip() == "KillUserProcesses" else setting
    return setting in ("yes", "true", "1", "on")


def lingers() -> bool:
    """Whether this user's processes may outlive the last session."""
    try:
        user = getpass.getuser()
        if Path(f"/var/lib/systemd/linger/{user}").exists():
            return True
        words = ["loginctl", "show-user", user, "--property=Linger", "--value"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=5)
    except (OSError, KeyError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() == "yes"
