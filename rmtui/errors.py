"""The one error that a person is meant to read: what failed, why, what to do."""

from __future__ import annotations

from rmtui.translation import colon, tr


class UserError(Exception):
    """Bad input, or trouble outside the program. The command line prints it, the app shows it as a toast."""

    def __init__(self, what: str, why: str = "", remedy: str = "", exit_code: int = 2) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.exit_code = exit_code
        """1: the run or check failed; 2: wrong usage, configuration or file."""

    def __str__(self) -> str:
        what, why, remedy = (tr(text, words=False) for text in (self.what, self.why, self.remedy))
        text = f"{what}{colon()}{why}" if why else what
        return f"{text}\n  → {remedy}" if remedy else text


def install(extra: str) -> str:
    """The remedy for a library that is missing, as the README installs it: no registry has rmtui."""
    return f"in rmtui's project folder: pip install -c constraints.txt '.[{extra}]'"
