"""Every screen and dialog in Chinese: no English word but names, and nothing cut or shifted by wide letters."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import support
from app_pilot import NARROW, WIDE, opened, sees, shown, told, until
from english_words import english_words
from rich.cells import cell_len

from rmtui.app.screens.dialogs import Confirm
from rmtui.index.index import Index
from rmtui.operations.runs import set_note, set_tags
from rmtui.translation import speak
from rmtui.workspace import Workspace

FILE = "helpful_pairs.jsonl"
OWN = {"helpful", "tiny", "box"}
"""Names of data, model and machine in the fixture."""
SCREENS: dict[str, tuple[tuple[str, ...], str]] = {
    "home": ((), "已完成"),
    "help": (("?",), "主界面"),
    "run": (("enter",), "学习率"),
    "log": (("enter", "3"), "跟随中"),
    "details": (("enter", "5"), "启动记录"),
    "advice": (("a",), "建议"),
    "presets": (("n",), "保守"),
    "form": (("n", "enter"), "与文件相同"),
    "every field": (("n", "enter", "v"), "与文件相同"),
    "launch": (("n", "enter", "ctrl+r"), "数据集"),
    "queue": (("Q",), "队列为空"),
    "data": (("D",), "helpful_pairs"),
    "suspects": (("D", "P"), "疑似标错"),
    "pairs": (("P",), "没有逐对的奖励"),
    "comparison": (("space", "space", "c"), "对比"),
    "filter": (("slash", "x"), "没有匹配的运行"),
    "wrong filter": (("slash", "l", "r", "greater_than_sign"), "之后没有内容"),
    "note": (("o",), "备注"),
    "delete": (("delete",), "无法撤销"),
    "import": (("i",), "导入以往的运行"),
    "palette": (("colon",), "搜索命令"),
}


@pytest.fixture
def chinese(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    support.make_runs(ws, 3)
    for side in ("train", "val"):
        (ws.data / side).mkdir(parents=True, exist_ok=True)
        (ws.data / side / "helpful_pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (ws.root / "workspace.toml").write_text('lang = "zh"\nmodel = "models/tiny"\n', "utf-8")
    yield ws
    speak("en")


def _said(text: str) -> str:
    """The screen without what files and commands hold: logs, command lines, values to choose from."""
    text = re.sub(r"(?m)^.*(?:Epoch \d|accelerate launch|--config|▾|主题：).*$", "", text)
    return text.replace("good -old", "").replace("night baseline", "")


def _cells(row: str, start: int, end: int) -> str:
    """The letters of a row in these cells."""
    places = itertools.accumulate(map(cell_len, row), initial=0)
    return "".join(letter for letter, place in zip(row, places, strict=False) if start <= place < end)


@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_speaks_chinese(chinese, name):
    keys, words = SCREENS[name]
    async with opened(chinese.root, WIDE) as pilot:
        await sees(pilot, "已完成", "筛选")
        for key in keys:
            await pilot.press(key)
        await sees(pilot, words)
        dialog = next(iter(pilot.app.screen.query(".dialog, #--container")), None)
        rows = shown(pilot).split("\n")
        if dialog is not None:  # what lies below is cut by it
            area = dialog.region
            rows = [_cells(row, area.x, area.right) for row in rows[area.y : area.bottom]]
        said = english_words(_said("\n".join(rows)))
        words_left = {word for word in said if len(word) > 2 and not FILE.endswith(word)}  # two: a path's wrapped end
        assert words_left <= OWN
        assert not re.findall(r".*(?:\S （|\d %|[一-鿿][,;:] ).*", "\n".join(rows)), "as Chinese is set"
        assert {cell_len(line) for line in shown(pilot).split("\n")} == {WIDE[0]}


@pytest.mark.parametrize(
    ("key", "words"), [("x", "只能停止训练中或排队中的运行"), ("p", "已置顶"), ("B", "为基线"), ("c", "先用空格标记")]
)
async def test_a_toast_speaks_chinese(chinese, key, words):
    async with opened(chinese.root, WIDE) as pilot:
        await sees(pilot, "已完成", "筛选")
        await pilot.press(key)
        await told(pilot, words)


async def test_a_small_screen_has_its_keys_and_state_in_chinese(chinese):
    async with opened(chinese.root, NARROW) as pilot:
        text = await sees(pilot, "标记", "打开", "帮助", "已完成")
        assert {cell_len(line) for line in text.split("\n")} == {NARROW[0]}


async def test_the_first_screen_of_a_folder_speaks_chinese(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    try:
        async with opened(tmp_path, NARROW) as pilot:
            text = await sees(pilot, "还不是工作区", "启动", "导入", "演示", "指南")
            assert english_words(text.replace(str(tmp_path), "").replace("tmp", "")) == []
    finally:
        speak("en")


async def test_ctrl_l_changes_the_language_of_everything_on_screen_and_back(chinese):
    async with opened(chinese.root, WIDE) as pilot:
        await sees(pilot, "已完成", "标记")
        await pilot.press("ctrl+l")
        await sees(pilot, "finished", "mark", "preset")
        await until(pilot, lambda: "已完成" not in shown(pilot) and "标记" not in shown(pilot))
        await pilot.press("ctrl+l")
        await sees(pilot, "已完成", "标记", "预设")


async def test_what_a_person_wrote_stays_as_it_was_written(chinese):
    with Index.open(chinese) as index:
        index.sync()
        newest = index.runs("", limit=1)[0]
    set_note(chinese, newest.id, "best of all, 3 runs")
    set_tags(chinese, newest.id, ["best-so-far", "best"])
    async with opened(chinese.root, WIDE) as pilot:
        await pilot.press("enter", "5")
        text = await sees(pilot, "标签", "备注")
        assert "best, best-so-far" in text and "best of all, 3 runs" in text


async def test_on_a_small_screen_how_long_ago_is_not_cut(chinese):
    async with opened(chinese.root, (60, 16)) as pilot:
        text = await sees(pilot, "helpful-C-2")
        row = next(line for line in text.split("\n") if "helpful-C-2" in line)
        assert "…" not in row


async def test_no_line_of_a_question_begins_with_a_stop(chinese):
    """As long as it takes for one to come to a line's beginning, whatever the width of the dialog."""
    async with opened(chinese.root, NARROW) as pilot:
        await sees(pilot, "已完成")
        for letters in range(26, 31):
            pilot.app.push_screen(Confirm("继续？", "字" * letters + "，再来。"))
            rows = (await sees(pilot, "继续？")).split("\n")
            area = pilot.app.screen.query_one(".dialog").region
            inside = [_cells(row, area.x, area.right).strip(" │") for row in rows[area.y : area.bottom]]
            assert not [row for row in inside if row.startswith(("，", "。"))], inside
            await pilot.press("escape")
            await until(pilot, lambda: "继续？" not in shown(pilot))
