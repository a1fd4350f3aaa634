"""The command line: finds the verb, runs it, turns errors into words and exit codes. No verb lives here."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from rmtui import __version__
from rmtui.cli import messages
from rmtui.cli.streams import fit_streams, give_up_output, neutral_output
from rmtui.errors import UserError
from rmtui.runs import lock_notice
from rmtui.text import harmless
from rmtui.translation import LANGS, default_lang, speak, tr

if TYPE_CHECKING:
    import argparse

    from rmtui.cli.help_text import Parser
    from rmtui.cli.verb import Verb

LANG_HELP = "language: en or zh (default: the workspace's, else the locale's)"
FAMILIES = ("launch_verbs", "tune_verbs", "run_verbs", "guide_verbs", "data_verbs", "label_verbs", "exchange_verbs")


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
        print(harmless(f"rmtui: {tr(str(error))}\n  → {tr('wait for it, or end it, and try again')}"), file=sys.stderr)
        return 1
    except OSError as error:
        give_up_output()
        remedy = tr("check that the disk has room and that you may write there")
        print(harmless(f"rmtui: {tr(str(error))}\n  → {remedy}"), file=sys.stderr)
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
    speak(_wanted_lang(argv))
    args = parser().parse_args(argv)
    if args.verb is None:
        return _app(args.workspace, args.lang or "")
    from rmtui.cli.verb import ask_schedulers, workspace_folder

    verb: Verb = args.run_verb
    lock_notice.listen(messages.wait)
    with neutral_output():
        if verb.states:
            ask_schedulers(workspace_folder(args))
        code = verb.run(args)
    sys.stdout.flush()
    return code


def _wanted_lang(argv: Sequence[str]) -> str:
    """The language of help, errors and output: --lang, else the workspace's, else the locale's."""
    from pathlib import Path

    from rmtui.workspace import SETTINGS_FILE, read_settings

    named = _option(argv, "--lang")
    if not named:
        with suppress(UserError, OSError):
            named = read_settings(Path(_option(argv, "-C") or ".").expanduser() / SETTINGS_FILE).lang
    return default_lang(named)


def _option(argv: Sequence[str], name: str) -> str:
    """What an option is given, wherever it stands; empty where it is not."""
    for place, word in enumerate(argv):
        if word == "--":
            break
        if word == name and place + 1 < len(argv):
            return argv[place + 1]
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return ""


def _app(workspace: str | None, lang: str = "") -> int:
    from rmtui.app import run_app

    return run_app(workspace, lang=lang)


def all_verbs() -> Iterator[Verb]:
    """Every verb, family by family."""
    for family in FAMILIES:
        yield from importlib.import_module(f"rmtui.cli.{family}").VERBS


def parser() -> Parser:
    """The whole command line; docs/cli.md is generated from it."""
    from rmtui.cli.help_text import HelpFormatter, Parser

    top = Parser(
        prog="rmtui",
        description="Tune reward models from a terminal. Without a verb: the app.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("-C", dest="workspace", metavar="DIR", help="the workspace (default: this folder)")
    top.add_argument("--lang", choices=LANGS, help=LANG_HELP)
    top.add_argument("--version", action="version", version=f"rmtui {__version__}")
    below = top.add_subparsers(dest="verb", metavar="VERB")
    for verb in all_verbs():
        _add(below, verb)
    top.translate()
    return top


def _example(line: str) -> str:
    """A command as it is typed, with what is said of it behind `#` in the language that is spoken."""
    command, mark, said = line.partition(" # ")
    return command + mark + tr(said) if mark else line


def _add(below: argparse._SubParsersAction[Parser], verb: Verb) -> None:
    import argparse

    from rmtui.cli.help_text import HelpFormatter

    examples = "\n".join(f"  {_example(line)}" for line in verb.examples)
    made = below.add_parser(
        verb.name,
        help=tr(verb.help),
        description=verb.help,
        epilog=f"{tr('examples:')}\n{examples}" if examples else None,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    # Suppressed, or the verb's default would overwrite a -C given before it.
    made.add_argument("-C", dest="workspace", metavar="DIR", default=argparse.SUPPRESS, help="the workspace")
    made.add_argument("--lang", choices=LANGS, default=argparse.SUPPRESS, help=LANG_HELP)
    verb.build(made)
    made.translate()
    made.set_defaults(run_verb=verb)
