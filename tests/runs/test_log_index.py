"""The line index over a log: the end first, growing files, search both ways, hostile content."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rmtui.runs import log_index as logindex
from rmtui.runs import log_search
from rmtui.runs.log_index import LogIndex
from rmtui.text import log_line


def everything(index: LogIndex) -> list[str]:
    while not index.complete:
        index.grow(1.0)
    return index.lines(0, index.line_count)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\nhalf", ["one", "half"]),
        (b"\n\nx", ["", "", "x"]),
        (b"bad \xff\xfe bytes\n", ["bad \ufffd\ufffd bytes"]),
    ],
)
def test_lines_are_those_of_the_file(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    index = LogIndex(path)
    assert everything(index) == expected
    assert index.line_count == len(expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=("Cs",)), max_size=40)),
    half=st.text(alphabet="abc", max_size=9),
    block=st.integers(4, 64),
    tail=st.integers(1, 200),
    data=st.data(),
)
def test_any_file_in_any_block_size(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    half: str,
    block: int,
    tail: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(logindex, "BLOCK", block)
    monkeypatch.setattr(logindex, "TAIL", tail)
    path = tmp_path / "log"
    path.write_text("".join(f"{line}\n" for line in lines) + half, "utf-8", newline="")
    wanted = lines + ([half] if half else [])
    index = LogIndex(path)
    known = index.line_count
    assert index.lines(0, known) == wanted[len(wanted) - known :]
    while not index.complete:
        before = index.line_count
        assert index.grow(0.0) == index.line_count - before
        assert index.lines(0, index.line_count) == wanted[len(wanted) - index.line_count :]
    assert index.shifted == len(wanted) - known
    first = data.draw(st.integers(0, len(wanted)))
    assert index.lines(first, 3) == wanted[first : first + 3]
    if wanted:
        line = data.draw(st.integers(0, len(wanted) - 1))
        assert index.line_at(index.offset(line)) == line


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(st.text("abAB \u00e4", max_size=40), max_size=60),
    half=st.text("ab", max_size=9),
    pattern=st.sampled_from(["ab", "B", "a b", "\u00e4", "a+b", "^b", "x*", "B$", "a[^b]*B", r"a\s"]),
    block=st.integers(4, 64),
    most=st.integers(1, 80),
)
@example(lines=["aaaaaaaBa"], half="", pattern="B$", block=4, most=1)
def test_the_last_lines_that_fit_are_those_that_reading_every_line_finds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    half: str,
    pattern: str,
    block: int,
    most: int,
) -> None:
    monkeypatch.setattr(logindex, "BLOCK", block)
    monkeypatch.setattr(logindex, "TAIL", 2 * block)
    path = tmp_path / "log"
    path.write_text("".join(f"{line}\n" for line in lines) + half, "utf-8", newline="")
    fold = pattern == pattern.lower()
    expression = re.compile(pattern.encode(), re.I if fold else 0)
    fits = [n for n, line in enumerate(lines) if expression.search(line.encode())]
    cut = any(len(line.encode()) + 1 > 2 * block for line in lines)  # of a longer line only the beginning is looked at
    index = LogIndex(path)
    while not index.complete:
        index.grow(0.0)
    found = index.last_fits(pattern, most)
    assert set(found) <= set(fits) and found == sorted(found)
    assert cut or (found == fits[len(fits) - len(found) :] and len(found) >= min(most, len(fits)))


def test_numbers_of_the_last_fits_hold_after_more_was_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logindex, "BLOCK", 64)
    monkeypatch.setattr(logindex, "TAIL", 64)
    path = tmp_path / "log"
    path.write_text("".join(f"line {n} {'needle' if n % 7 == 0 else 'hay'}\n" for n in range(200)))
    index = LogIndex(path)
    found = index.last_fits("needle", 1000)
    assert [index.lines(n, 1)[0] for n in found] == [f"line {n} needle" for n in range(0, 200, 7)]


def test_a_burst_is_counted_in_slices_and_whole_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logindex, "BLOCK", 256)
    monkeypatch.setattr(logindex, "MOST_NEW", 1024)
    path = tmp_path / "log"
    path.write_text("begin\n")
    index = LogIndex(path)
    wanted = [f"line {n}" for n in range(2000)]
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in wanted) + "half")
    slices = 0
    while index.refresh():
        slices += 1
        assert index.behind == (index.size < path.stat().st_size)
    assert slices == -(-(path.stat().st_size - 6) // 1024)
    assert everything(index) == ["begin", *wanted, "half"]
    assert index.whole_lines == index.line_count - 1


def test_lines_are_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{n:09d}\n" for n in range(1000)))
    index = LogIndex(path)
    assert index.lines(10, 500, 100) == [f"{n:09d}" for n in range(10, 20)]
    assert index.lines(10, 500, 1) == ["000000010"]


def test_a_growing_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\nha")
    index = LogIndex(path)
    assert not index.refresh()
    with path.open("a") as file:
        file.write("lf\nthree\n")
    assert index.refresh()
    assert everything(index) == ["one", "half", "three"]
    path.write_text("cut\n")
    assert index.refresh()
    assert everything(index) == ["cut"]
    (tmp_path / "other").write_text("another file\nof two lines\n")
    (tmp_path / "other").replace(path)
    assert index.refresh()
    assert everything(index) == ["another file", "of two lines"]
    path.unlink()
    assert not index.refresh()
    assert everything(index) == ["another file", "of two lines"]


def test_search_goes_both_ways_and_past_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logindex, "BLOCK", 512)
    monkeypatch.setattr(logindex, "TAIL", 1024)
    path = tmp_path / "log"
    lines = [f"step {n} loss 0.5" for n in range(1000)]
    lines[10], lines[990] = "ValueError: first", "a valueerror in small letters"
    path.write_text("\n".join(lines) + "\n")
    index = LogIndex(path)

    def found(pattern: str, forward: bool, line: int | None = None) -> str | None:
        start = (index.line_count if not forward else -1) if line is None else line
        hit = index.search(pattern, start, forward)
        return None if hit is None else index.lines(hit, 1)[0]

    assert found("ValueError", forward=False) == lines[10]
    assert index.complete or index.shifted > 0
    assert found("valueerror", forward=False) == lines[990]
    assert found("valueerror", forward=True) == lines[10]
    assert found("value", forward=False, line=900) == lines[10]  # a capital, blocks away from where the search began
    assert found("VALUEERROR", forward=True) is None
    assert found("val.*small", forward=False) == lines[990]
    assert found("step 500 ", forward=False) == lines[500]
    assert found("no such text", forward=False) is None
    assert found("step", forward=True, line=10) == lines[11]
    assert found("step", forward=False, line=11) == lines[9]
    assert found("loss", forward=True, line=999) is None
    hit = index.step(77)
    assert hit is not None
    assert index.lines(hit, 1) == [lines[77]]
    assert index.step(5000) is None
    with pytest.raises(ValueError, match="nothing to look for"):
        index.search("", 0)


def test_the_rarest_byte_finds_what_find_finds() -> None:
    text = b"zone 1\nzzz q zebra \x00 z" + b"z" * 600 + b"zebra crossing\n"
    for needle in (b"zebra c", b"zz", b"q z", b"crossing\n", b"\x00", b"aaa", b"1\nz", b"z" * 601):
        assert log_search.fast_find(text, needle) == text.find(needle)


def test_a_line_without_end_is_cut_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.seek(200 << 20, os.SEEK_CUR)
        file.write(b"\nlast\n")
    index = LogIndex(path)
    while not index.complete:
        index.grow(1.0)
    assert index.line_count == 3
    assert len(index.lines(1, 1)[0]) <= logindex.LONGEST
    assert index.lines(2, 1) == ["last"]


MEASURE = """
import re, sys
from pathlib import Path
from rmtui.runs.log_index import LogIndex
index = LogIndex(Path(sys.argv[1]))
print(index.lines(index.line_count - 1, 1)[0])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # of this program alone
print(int(peak[1]) // 1024)
print("textual" in sys.modules)
"""


def test_a_large_log_opens_at_its_end_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"step 1 loss 0.5\n" * 100_000 + b"the end\n")
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    last, megabytes, textual = done.stdout.split("\n")[:3]
    assert last == "the end"
    assert int(megabytes) <= 60
    assert textual == "False"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;ZXZpbA==\x1b\\text", "text"),
        ("\x1bP1$r\x1b\\text", "text"),
        ("a\x08\x08b\x00c", "abc"),
        ("\x9b31mred", "red"),
        (" 10%|#  |\r 50%|## |\r100%|###|", "100%|###|"),
        ("100%|###|\r", "100%|###|"),
        ("done\r   ", "done"),
        ("tab\tstays", "tab\tstays"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("有用 ✓", "有用 ✓"),
        ("\x1b[", ""),
    ],
)
def test_log_text_is_harmless(raw: str, shown: str) -> None:
    assert log_line(raw) == shown
