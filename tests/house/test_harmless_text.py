"""One hostile text through every exit: nothing that a terminal obeys, or that hides what is there, comes out."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from support import make_run_folder

from rmtui import text
from rmtui.cli.streams import neutral_output
from rmtui.workspace import Workspace

HOSTILE = "a\u202eb\x1b[31mc\x1b]0;title\x07d\x9b2Je\u2066f\u200bg\x1bPq\x1b\\h\x08i\ufeffj"
SHOWN = "abcdefghij"
"""What is left when every sequence has gone whole."""
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@pytest.mark.parametrize(
    "exit_of",
    [text.harmless, text.harmless_output, text.log_line, text.clean, lambda raw: text.fit(raw, 10)],
    ids=["words", "stream", "log", "line", "cell"],
)
def test_every_way_out_gives_the_same_text(exit_of: Callable[[str], str]) -> None:
    if exit_of is text.harmless_output:  # verbs write colours themselves: those alone stay
        assert exit_of(HOSTILE).replace("\x1b[31m", "") == SHOWN
    else:
        assert exit_of(HOSTILE) == SHOWN


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("x\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\y", "xlinky"),
        ("a\x1b[?1049hb", "ab"),
        ("p\x1b(0q", "pq"),
        ("a\x9d0;t\x9cb", "ab"),
        ("a\x9dunfinished", "aunfinished"),
        ("a\x85b\u2028c\xadd", "abcd"),
        ("a\x1b[", "a"),
        ("e\U000e0041\u180ef", "ef"),
        ("有用：ok", "有用：ok"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("pay\u200cpal\u200d", "paypal"),
    ],
)
def test_sequences_go_whole_and_text_stays(raw: str, shown: str) -> None:
    assert text.harmless(raw) == shown


@pytest.mark.parametrize("sample", ["plain", "有用 ok", "e\u0301", "가나", "🙂 x", "ｆｕｌｌ", "…–−→"])
def test_a_text_is_as_wide_as_the_screen_draws_it(sample: str) -> None:
    assert text.width(sample) == cell_len(sample)
    assert text.width(text.fit(sample, 3)) == 3 and text.width(text.fit(sample, 20)) == 20


@pytest.fixture
def hostile_run(ws: Workspace) -> str:
    make_run_folder(
        ws,
        name=f"run {HOSTILE}",
        meta={"note": HOSTILE, "tags": ["x"], "group": HOSTILE},
        outcome="failed",
        reason=f"{HOSTILE}\rover",
        log=f"{HOSTILE}\n",
        preset=HOSTILE,
        data=HOSTILE,
    )
    return next(ws.runs.iterdir()).name


VERBS = [
    *("ls", "show RUN", "logs RUN", "advise RUN", "compare RUN RUN", "pairs RUN", "plot RUN", "presets", "queue"),
    *("export RUN --format markdown -o OUT", "export RUN --format csv -o OUT", "export RUN --format html -o OUT"),
    *("check PAIRS", "import PAIRS", "import FOLDER", "show HOSTILE", "ls --filter HOSTILE", "presets HOSTILE"),
    *("launch HOSTILE --data HOSTILE", "note RUN HOSTILE", "tag RUN HOSTILE", "rename RUN HOSTILE", "stop RUN"),
    *("completion bash", "resume RUN", "rebuild", "doctor --fast", "HOSTILE"),
]


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_hands_a_hostile_text_on(
    ws: Workspace, hostile_run: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rmtui.cli import main

    pairs = tmp_path / f"{HOSTILE.replace('/', '')}.jsonl"
    row = {"prompt": f"{HOSTILE}?", "chosen": HOSTILE, "rejected": f"{HOSTILE}\r{HOSTILE}", HOSTILE: HOSTILE}
    pairs.write_text(json.dumps(row) + "\n" + HOSTILE + "\n")
    written = tmp_path / "out"
    places = {"RUN": hostile_run, "OUT": str(written), "PAIRS": str(pairs), "FOLDER": str(tmp_path), "HOSTILE": HOSTILE}
    try:
        assert main(["-C", str(ws.root), *(places.get(word, word) for word in verb.split())]) in (0, 1, 2)
    except SystemExit as end:  # of argparse
        assert end.code == 2
    printed = capsys.readouterr()
    assert printed.out or printed.err or written.exists() or verb.split()[0] in ("note", "tag", "rename", "rebuild")
    for said in (printed.out, printed.err, written.read_text("utf-8") if written.exists() else ""):
        assert not FORBIDDEN.search(said), repr(said)


def test_json_keeps_what_the_files_say_and_escapes_it(
    ws: Workspace, hostile_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rmtui.cli import main

    assert main(["-C", str(ws.root), "show", hostile_run, "--json"]) == 0
    printed = capsys.readouterr().out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed)
    assert json.loads(printed)["note"].startswith("a")


def test_a_stream_keeps_its_own_line_ends_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    with neutral_output():
        print("\r\x1b[K12 %\n\ttwo")
    assert stream.getvalue() == "\r\x1b[K12 %\n\ttwo\n"
