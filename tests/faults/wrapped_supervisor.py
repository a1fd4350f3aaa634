"""The supervisor with a fault at its N-th write, fsync, rename, unlink, mkdir or spawn: N error|kill, then its words.

The program knows nothing of this: the calls are wrapped from outside, in this process only. The marker file tells that
the N-th call was reached, and which it was.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmtui.launch import supervisor


class Fault:
    def __init__(self, n: int, how: str, marker: Path) -> None:
        self.n, self.how, self.marker, self.count = n, how, marker, 0

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.n:
                self.fire(name)
            return call(*args, **kwargs)

        return wrapped

    def fire(self, name: str) -> None:
        self.marker.write_text(name)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, f"injected into {name}")


def main() -> int:
    n, how, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    fault = Fault(n, how, Path(words[1]) / "control" / "fault")
    for name in ("write", "fsync", "replace", "rename", "unlink", "mkdir"):
        setattr(os, name, fault.wrap(name, getattr(os, name)))
    spawn = fault.wrap("spawn", lambda: None)

    class Popen(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            spawn()
            super().__init__(*args, **kwargs)

    subprocess.Popen = Popen
    return supervisor.main(words)


if __name__ == "__main__":
    sys.exit(main())
