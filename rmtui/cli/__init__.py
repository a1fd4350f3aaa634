"""The command line: finds the verb, runs it, turns errors into words and exit codes. No verb lives here."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NoReturn

from rmtui import __version__
from rmtui.cli import messages
from rmtui.cli.streams import fit_streams, give_up_output, neutral_output
from rmtui.errors import UserError
from rmtui.runs import lock_notice
from rmtui.text import harmless

if TYPE_CHECKING:
    import argparse

    from rmtui.cli.verb import Verb

FAMILIES = ("launch_verbs", "run_verbs", "guide_verbs", "data_verbs", "exchange_verbs")


def main(argv: Sequence[str] | None = None, *, interruptible: bool = False) -> int:
    """Run `rmtui`; returns the exit code (0 done, 1 failed, 2 wrong usage, 130 interrupted).

    `interruptible`: SIGINT has its default action now and is to be KeyboardInterrupt while the verb runs.
    """
    fit_streams()
    try:
        with _interruptible() if interruptible else nullcontext():
            return _run(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(harmless(f"rmtui: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except TimeoutError as error:
        print(harmless(f"rmtui: {error}") + "\n  → wait for it, or end it, and try again", file=sys.stderr)
        return 1
    except OSError as error:
        give_up_output()
        print(
            harmless(f"rmtui: {error}") + "\n  → see that the disk has room and that you may write there",
            file=sys.stderr,
        )
        return 1


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt inside, and ends the process in silence again after it."""
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(argv: Sequence[str]) -> int:
    if not argv or (len(argv) == 2 and argv[0] == "-C" and argv[1][:1] != "-"):
        return _app(argv[1] if argv else None)  # without the parser of all verbs
    args = parser().parse_args(argv)
    if args.verb is None:
        return _app(args.workspace)
    from rmtui.cli.verb import ask_schedulers, workspace_folder

    verb: Verb = args.run_verb
    lock_notice.listen(messages.wait)
    with neutral_output():
        if verb.states:
            ask_schedulers(workspace_folder(args))
        code = verb.run(args)
    sys.stdout.flush()
    return code


def _app(workspace: str | None) -> int:
    from rmtui.app import run_app

    return run_app(workspace)


def all_verbs() -> Iterator[Verb]:
    """Every verb, family by family."""
    for family in FAMILIES:
        yield from importlib.import_module(f"rmtui.cli.{family}").VERBS


def parser() -> argparse.ArgumentParser:
    """The whole command line; docs/cli.md is generated from it."""
    import argparse

    class Parser(argparse.ArgumentParser):
        """Its errors quote what was typed, which a script may have taken from a file."""

        def error(self, message: str) -> NoReturn:
            super().error(harmless(message))

    top: argparse.ArgumentParser = Parser(
        prog="rmtui",
        description="Tune reward models from a terminal. Without a verb: the app.",
        allow_abbrev=False,
    )
    top.add_argument("-C", dest="workspace", metavar="DIR", help="the workspace (default: this folder)")
    top.add_argument("--version", action="version", version=f"rmtui {__version__}")
    below = top.add_subparsers(dest="verb", metavar="VERB")
    for verb in all_verbs():
        _add(below, verb)
    return top


def _add(below: argparse._SubParsersAction[argparse.ArgumentParser], verb: Verb) -> None:
    import argparse

    epilog = "examples:\n" + "\n".join(f"  {line}" for line in verb.examples) if verb.examples else None
    made = below.add_parser(
        verb.name,
        help=verb.help,
        description=verb.help,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # Suppressed, or the verb's default would overwrite a -C given before it.
    made.add_argument("-C", dest="workspace", metavar="DIR", default=argparse.SUPPRESS, help="the workspace")
    verb.build(made)
    made.set_defaults(run_verb=verb)
