"""Where the command `rmtui` begins. Until a verb runs, Ctrl-C ends the process without a word, as it ends any program.

Nothing heavier than `signal` is imported before that is so: Python's own handler would print a traceback from
wherever the imports were.
"""

from __future__ import annotations

import signal


def main() -> int:
    """The program; returns its exit code."""
    # One that is ignored (nohup, a shell's `&`) stays ignored.
    caught = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if caught:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rmtui.cli import main as run

    return run(interruptible=caught)
