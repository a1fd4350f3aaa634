"""Rows and files for the tests of the data check."""

import json
from pathlib import Path

from rmtui.operations.check import check

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def row(**changes):
    """A sound pair with some fields changed; None as a value removes nothing, it is JSON's null."""
    return {
        "prompt": "What is the capital of France, please?",
        "chosen": "It is Paris, on the Seine.",
        "rejected": "I do not know that one.",
        **changes,
    }


def distinct(number):
    """Sound pairs, each about something else."""
    return [
        row(prompt=f"What is {n} plus {n}?", chosen=f"That is {2 * n}.", rejected=f"Perhaps {n}?")
        for n in range(number)
    ]


def write(path, rows, **options):
    """A pair file from rows (objects, or text and bytes as they are)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_line(each, options) for each in rows))
    return path


def _line(each, options):
    if isinstance(each, bytes):
        return each
    return ((each if isinstance(each, str) else json.dumps(each, **options)) + "\n").encode("utf-8", "surrogatepass")


def findings(*files, **options):
    """(line, kind) of every finding, one list a file; whole-file ones have line None."""
    report = check(files, **options)
    return [[(finding.line, finding.kind) for finding in file.findings] for file in report.files]


def kinds(folder, *rows, line=1, **options):
    """Kinds found on one line of a file of these rows."""
    (found,) = findings(write(folder / "pairs.jsonl", rows, **options))
    return [kind for place, kind in found if place == line]
