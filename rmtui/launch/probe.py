"""How many processes accelerate really starts here: two tiny ranks say their world size."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rmtui.launch.command import Job, command

RANKS = 2
TIMEOUT = 180
_PROGRAM = "import os\nfrom accelerate import Accelerator\nos.write(1, b'world %d\\n' % Accelerator().num_processes)\n"
"""One write a rank: both hold the same pipe, and torchelastic runs them unbuffered, where print writes twice."""


def world_size(kind: str, devices: tuple[str, ...] = ()) -> tuple[int, str]:
    """(ranks that met, what accelerate said when they did not). `devices`: two GPUs, or none for the CPU."""
    with tempfile.TemporaryDirectory(prefix="rmtui-probe-") as folder:
        program = Path(folder) / "probe.py"
        program.write_text(_PROGRAM)
        line = command(Job(RANKS, kind, devices, trainer=(str(program),)), folder, folder)
        try:
            done = subprocess.run(
                line.argv,
                env=os.environ | line.environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return 0, f"{type(error).__name__}: {error}"
    sizes = [text.split()[1] for text in done.stdout.splitlines() if text.startswith("world ")]
    met = len(sizes) if set(sizes) == {str(len(sizes))} else 0
    return met, "" if met == RANKS else (done.stderr.strip().splitlines() or [f"{sys.executable} printed nothing"])[-1]
