"""Chinese for everything that is shown: each sentence of the code has one, help speaks it, and none is half English."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from english_words import english_words
from support import REPO

from rmtui import translation
from rmtui.cli import all_verbs, main
from rmtui.cli.text_tables import Cell, Column, layout
from rmtui.text import ago, width, wrap
from rmtui.translation import entries, speak, tr
from trainer.remedies import REMEDIES

HAN = "\u4e00-\u9fff"
ENTRIES = list(entries())


@pytest.fixture(autouse=True)
def chinese(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("COLUMNS", "80")
    speak("zh")
    yield
    speak("en")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5, "刚刚"), (61, "61 秒前"), (119, "119 秒前"), (120, "2 分钟前"), (7300, "2 小时前"), (172_800, "2 天前")],
)
def test_every_unit_of_an_age_is_chinese(seconds, shown):
    assert ago(1e6 - seconds, 1e6) == shown


@pytest.mark.parametrize(
    ("english", "shown"),
    [
        ("3 runs", "3 个运行"),
        ("1 run", "1 个运行"),
        ("2 running · 1 queued · 1,204 runs", "2 个训练中 · 1 个排队中 · 1,204 个运行"),
        ("killed: out of memory on rank 1 at step 412", "被终止：rank 1 在第 412 步显存不足"),
        ("queued (resumes from step 53)", "排队中（从第 53 步续训）"),
        ("Stop running?", "停止 running？"),
        ("Stop helpful-A-3?", "停止 helpful-A-3？"),
        ("helpful-A-3 resumes from step 12", "helpful-A-3 从第 12 步继续训练"),
        (
            "accuracy 72.00% (95 % interval 65.00% to 78.00%) on 200 pairs, 1 tie, loss 0.5512",
            "准确率 72.00%（95% 区间 65.00% 至 78.00%），共 200 对，1 个平局，loss 0.5512",
        ),
        (
            "learning_rate: the log says 1e-5, rm_config.yaml 9e-5; the log's value is used",
            "learning_rate：日志为 1e-5，rm_config.yaml 为 9e-5；采用日志的值",
        ),
        ("stopped by ann at step 93", "由 ann 在第 93 步停止"),
        ("waits for the CPU  ", "等待 CPU  "),
        ("waits for 2 GPUs  ", "等待 2 块 GPU  "),
        ("help-1: 3 accuracies were ignored: outside 0–1", "help-1：忽略 3 个准确率：不在 0–1 之间"),
        ("2 more notes: rmtui import prints them all", "另有 2 条说明：用 rmtui import 可全部列出"),
        (
            "RuntimeError: CUDA error: out of range\na port is taken: launch again, which takes another",
            "RuntimeError: CUDA error: out of range\n端口已被占用：重新启动会换一个端口",
        ),
        (
            "  enter the val_acc of an imported run that its log does not have ",
            "  为导入的运行补录日志中没有的 val_acc ",
        ),
        (
            "OSError: ck/step-3 is damaged: its manifest cannot be read; name another checkpoint (rank 0) at step 3",
            "OSError：ck/step-3 已损坏：无法读取其 manifest；请指定另一个检查点（rank 0，第 3 步）",
        ),
        (
            "failed: ValueError: lora.target_modules: q is not in this model, which has q_proj, k_proj (rank 1)",
            "失败：ValueError：lora.target_modules：该模型中没有 q，只有 q_proj, k_proj（rank 1）",
        ),
        (
            "RuntimeError: (boom); who knows (rank 0) at step 8; a port is taken: launch again, which takes another",
            "RuntimeError：(boom); who knows（rank 0，第 8 步）；端口已被占用：重新启动会换一个端口",
        ),
        ("a sentence that nobody translated", "a sentence that nobody translated"),
        ("", ""),
    ],
)
def test_sentences_are_found_whole_in_parts_and_with_what_stands_in_them(english, shown):
    assert tr(english) == shown


def test_a_name_that_is_a_word_of_the_program_stays_where_single_words_are_left_alone():
    assert tr("best", words=False) == "best" and tr("best") == "最佳"
    assert tr("3 runs", words=False) == "3 个运行"


def test_english_is_what_was_written():
    speak("en")
    assert tr("3 runs") == "3 runs" and tr("killed: out of memory") == "killed: out of memory"


def test_no_sentence_has_two_translations():
    forms = Counter(re.sub(r"\{[nws]?\}", "{}", english) for english, _ in ENTRIES)
    assert [english for english, number in forms.items() if number > 1] == []


def test_entries_keep_what_stands_in_their_places_and_are_set_as_chinese_is():
    wrong = {}
    for english, chinese in ENTRIES:
        places = [place for place in re.findall(r"\{[nws]?\}", english) if place != "{s}"]
        numbered = [int(number) for number in re.findall(r"\{(\d)\}", chinese)]
        kept = chinese.count("{}") <= len(places) and all(number < english.count("{") for number in numbered)
        stops = re.search(rf"[{HAN}][,;:!?]|[,;!?][{HAN}]|[{HAN}]\.(?:\s|$)| %", chinese)
        if not kept or stops or (not re.search(f"[{HAN}]", chinese) and english_words(chinese)):
            wrong[english] = chinese
    assert wrong == {}


_SHOWN = """
UserError DatabaseError Damaged NewerSchema Action Verb add_argument add toast notify Confirm Ask tr echo Status
_final Verdict Diagnosis wrong _wrong Problem NoSuchLine _show_notice UnseenCommand _unreadable Edit locked
"""
SHOWN = set(_SHOWN.split())
"""Calls whose texts a person reads."""


TOLD = ("rmtui/importers", "trainer/init_from.py")
"""Where every sentence of four words and more is for a person: notes of an import, errors of a training."""
_SENTENCE = re.compile(
    r"(?!.*(?:[\\^|]|SELECT|is not compatible|does not (?:have|recognize)|Max number|Train step of|number of \w+))"
    r"[\w{-].*?(?:[\w{}]+[ ,:]+){3}\w"
)
"""No pattern, no words of another program that are looked for, no part of a sentence."""


def sentences() -> Iterator[tuple[str, str]]:
    """(place, text with {} for what stands in it) of every sentence in such a call."""
    for path in sorted((REPO / "rmtui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SHOWN:
                for part in [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg != "metavar")]:
                    if text := _text(part):
                        yield f"{path.relative_to(REPO)}:{part.lineno}", text.strip()


def told_sentences() -> Iterator[tuple[str, str]]:
    """(place, text) of the sentences that imports and trainings leave."""
    yield from (("trainer/remedies.py", remedy) for _, remedy in REMEDIES)
    for place in TOLD:
        root = REPO / place
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            for node in _texts(ast.parse(path.read_text(encoding="utf-8"))):
                text = _text(node)
                if _SENTENCE.match(text):
                    yield f"{path.relative_to(REPO)}:{node.lineno}", text


def _texts(tree: ast.AST) -> Iterator[ast.expr]:
    """Texts that are not docstrings; an f-string as one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, (ast.Constant, ast.JoinedStr)):
            yield node
        else:
            yield from _texts(node)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


def test_every_sentence_of_the_code_has_its_chinese():
    known = {re.sub(r"\{[nws]?\}", "{}", english) for english, _ in ENTRIES}
    found = {text: place for place, text in (*sentences(), *told_sentences())}
    assert len(found) > 800
    missing = {
        place: text
        for text, place in found.items()
        if text not in known
        and re.search(r"[a-z]{2,},? [a-z(`{]", text)
        and min(english_words(tr(filled)) for filled in _filled(text))
    }
    assert missing == {}


def test_what_a_start_and_a_training_are_busy_with_is_chinese_in_lists():
    busy = set()
    for path in (REPO / "trainer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("phase", "beat"):
                busy |= {(text, ast.unparse(node.func)) for part in node.args if (text := _text(part).strip())}
    assert len(busy) > 7
    filled = {(words.replace("{}", "12/224"), call) for words, call in busy}
    shown = {f"{words}, 3 s" if call == "phase" else words for words, call in filled}
    shown = shown - {"tokenizing, 3 s"} | {"tokenizing 4 096 pairs, 61 %"}  # the one that is counted
    assert {words: tr(words) for words in shown if english_words(tr(words).replace("torch", ""))} == {}


def test_every_chinese_sentence_has_its_english_in_the_code():
    """Up to three words in a row of it, at least: some are put together of parts, and some are the system's."""
    files = [path for room in ("rmtui", "trainer") for path in (REPO / room).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in [*files, *(REPO / "presets").glob("*.toml")]]
    code = _words(" ".join([*texts, *map(os.strerror, errno.errorcode)]))
    unused = []
    for name in ("app", "imports", "trainer", "options", "errors"):
        for english in tomli.loads((REPO / "rmtui" / "chinese" / f"{name}.toml").read_text(encoding="utf-8")):
            parts = [_words(part).split() for part in re.split(r"\{[nws]?\}", english)]
            found = [" ".join(part[at : at + 3]) for part in parts for at in range(max(1, len(part) - 2)) if part]
            if found and not any(f" {words} " in code for words in found):
                unused.append(english)
    assert unused == []


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", f" {text} ")


def _filled(text: str) -> Iterator[str]:
    """With what may stand in its places: a number, an ellipsis; at the end where it was, or what else there is."""
    yield from (text.replace("{}", filler) for filler in ("17", "…"))
    yield text.replace("{}", "17", 1).replace("{}", "")
    stem = re.sub(r"(\{\})+$", "", text).replace("{}", "rank 17")
    yield from (stem + end for end in (" at step 17", "; 17", " --data 17"))


def test_help_of_every_verb_is_chinese_and_fits_the_terminal(capsys):
    verbs = [[], *([verb.name] for verb in all_verbs())]
    assert len(verbs) > 25
    for verb in verbs:
        with pytest.raises(SystemExit):
            main([*verb, "--help"])
        text = capsys.readouterr().out
        said = re.sub(r"(?m)^  rmtui .*?(?: # |$)|^    [a-z-]+(?= |$)", "", text.partition("\n\n")[2])
        assert english_words(said) == [], verb
        assert text.startswith("用法：rmtui") and "选项：" in text
        assert all(width(line) <= 80 for line in said.splitlines() if "{" not in line), verb


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["ls", "--foo"], "无法识别的参数：--foo"),
        (["show"], "缺少参数：RUN"),
        (["plot", "x", "--x", "years"], "不是可用的值"),
    ],
)
def test_wrong_usage_is_explained_in_chinese(argv, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_error_says_what_why_and_what_to_do_in_chinese(tmp_path, capsys):
    assert main(["-C", str(tmp_path), "ls"]) == 2
    said = capsys.readouterr().err
    assert "不是 rmtui 工作区：其中没有 workspace.toml" in said and "→ 请进入工作区" in said


def test_the_language_is_as_asked_else_the_workspaces_else_the_locales(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert main(["init", str(tmp_path)]) == 0
    assert "is a workspace" in capsys.readouterr().out
    (tmp_path / "workspace.toml").write_text('lang = "zh"\n')
    assert main(["-C", str(tmp_path), "queue"]) == 0
    assert capsys.readouterr().out == "队列为空\n"
    assert main(["-C", str(tmp_path), "--lang", "en", "queue"]) == 0
    assert capsys.readouterr().out == "the queue is empty\n"
    assert main(["-C", str(tmp_path), "queue", "--lang=en"]) == 0
    assert capsys.readouterr().out == "the queue is empty\n"


def test_a_terminal_gets_chinese_tables_and_a_pipe_the_words_that_scripts_know(capsys):
    from rmtui.cli import run_listing
    from rmtui.runs.model import Run, State

    run = Run("20261122-101010-abcd", "finished", Path("x"), State.KILLED, "out of memory on rank 1", val_acc=0.7)
    run_listing.runs([run])
    assert "\tkilled\t" in capsys.readouterr().out
    heading, row = layout([Column("run"), Column("state", ours=True)], [[Cell("finished"), Cell("killed")]], 40)
    assert heading.split() == ["运行", "状态"] and row.split() == ["finished", "被终止"]


def test_chinese_lines_break_by_their_width_and_never_before_a_stop():
    lines = wrap("默认取工作区设置，其次为可见 GPU 数，否则为 1）。", 10)
    assert all(width(line) <= 12 for line in lines) and "".join(lines).replace(" ", "").endswith("否则为1）。")
    assert not any(line.startswith(("，", "。", "）")) for line in lines)
    assert wrap("an English sentence", 10) == ["an English", "sentence"]
    assert translation.default_lang("zh_TW") == "zh"
