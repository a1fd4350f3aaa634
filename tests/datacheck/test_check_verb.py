"""`rmtui check`: exit codes, the JSON document, the report, cleaned copies, the check before a launch."""

import json
import re
import subprocess
import sys

import pytest
from check_rows import distinct, row, write

from rmtui.datacheck import report as words
from rmtui.errors import UserError
from rmtui.operations import check
from rmtui.operations.launch_request import LaunchRequest

BAD = row(rejected=row()["chosen"])


def run(*arguments):
    command = [sys.executable, "-m", "rmtui", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_exit_codes(tmp_path):
    clean = write(tmp_path / "clean.jsonl", distinct(3))
    warned = write(tmp_path / "warned.jsonl", [row(), row()])
    wrong = write(tmp_path / "wrong.jsonl", [BAD])
    assert [run(path).returncode for path in (clean, warned, wrong)] == [0, 0, 1]
    missing = run(tmp_path / "missing.jsonl")
    assert missing.returncode == 2
    assert "missing.jsonl" in missing.stderr
    assert missing.stdout == ""


def test_the_json_document(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [*distinct(2), BAD, row(), row()])
    result = run(path, "--json")
    assert result.returncode == 1
    (file,) = json.loads(result.stdout)["files"]
    assert (file["path"], file["lines"], file["good"]) == (str(path), 5, 4)
    found = [(each["line"], each["kind"], each["severity"]) for each in file["findings"]]
    assert found == [(3, "identical_answers", "error"), (5, "duplicate", "warning")]
    assert all(each["message"] for each in file["findings"])


def test_the_whole_report_is_in_chinese(tmp_path):
    """Nothing of the report is English but names of fields, languages, files, and what stands in the data."""
    leaning = [row(prompt=f"Why {n}?", chosen=f"Since {n}, as one says.", rejected=f"No {n}.") for n in range(150)]
    train = write(tmp_path / "train.jsonl", [*leaning, BAD, leaning[3], "{'a'}", {**row(), "chosen": 7}, leaning[5]])
    val = write(tmp_path / "val.jsonl", [leaning[9], *distinct(40)])
    result = run(train, val, "--lang", "zh", "--head", "2", "--fix", tmp_path / "out")
    report = result.stdout.replace(str(tmp_path), "").split("── ")[-1].partition("\n\n")[0]
    body = re.sub(r"\S+\.jsonl|'[^']*'", "", "\n".join(report.splitlines()[4:]))
    words = set(re.findall("[A-Za-z_]{2,}", body))
    assert words <= {"chosen", "rejected", "prompt", "JSON", "val_acc", "en", "role", "content"}, words
    for said in ("错误: 回答相同 第 151 行", "警告: ", "样本泄漏", "对可用样本", "保留"):
        assert said in result.stdout


def test_findings_are_said_in_the_language_asked_for(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [*distinct(2), BAD])
    for lang, said in (("en", "chosen and rejected are the same"), ("zh", "相同")):
        (file,) = json.loads(run(path, "--json", "--lang", lang).stdout)["files"]
        assert said in file["findings"][0]["message"]


def test_an_interrupted_copy_leaves_nothing_behind(tmp_path, monkeypatch):
    files = [write(tmp_path / part / "x_pairs.jsonl", [*distinct(3), BAD]) for part in ("train", "val")]
    report = check.check(files)
    for calls in range(1, 5):
        done = []

        def rename(self, target, done=done, calls=calls):
            done.append(target)
            if len(done) == calls:
                raise KeyboardInterrupt
            self.replace(target)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("pathlib.Path.rename", rename)
            check.fix(report, tmp_path / "clean")
        assert [path for path in (tmp_path / "clean").rglob("*") if path.is_file()] == []
    assert len(check.fix(report, tmp_path / "clean")) == 2


@pytest.mark.parametrize("change", [lambda data: data + data[:200], lambda data: data[:-40]])
def test_a_file_that_changed_since_the_check_is_not_cleaned(tmp_path, change):
    path = write(tmp_path / "pairs.jsonl", [*distinct(3), BAD])
    report = check.check([path])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match="changed"):
        check.fix(report, tmp_path / "clean.jsonl")
    assert [each.name for each in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_the_report_is_ranked_by_harm_and_shows_no_escape(tmp_path):
    swapped = row(chosen=row()["rejected"], rejected=row()["chosen"])
    path = write(tmp_path / "pairs.jsonl", [row(), "{'\x1b[31m': 1}", row(), swapped, row(chosen="red \x1b[31m")])
    result = run(path, "--head", "5")
    places = [result.stdout.index(word) for word in ("contradiction", "invalid json", "duplicate", "control character")]
    assert places == sorted(places)
    assert "\x1b" not in result.stdout
    assert "It is Paris, on the Seine." in result.stdout
    assert "5 lines, 3 good pairs" in result.stdout


def test_a_cleaned_copy_keeps_good_rows_byte_by_byte(tmp_path):
    good = [json.dumps(each, ensure_ascii=False).encode() for each in distinct(2)]
    lines = [b"\xef\xbb\xbf" + good[0] + b"\r\n", b"\n", json.dumps(BAD).encode() + b"\n", b"\xff\xfe\n", good[1]]
    path = write(tmp_path / "pairs.jsonl", lines)
    before = path.read_bytes()
    out = tmp_path / "clean.jsonl"
    assert run(path, "--fix", out).returncode == 1
    assert out.read_bytes() == b"".join(line + b"\n" for line in good)
    dropped = [json.loads(line) for line in (tmp_path / "clean.jsonl.dropped.jsonl").read_text().splitlines()]
    assert [(each["line"], each["kinds"]) for each in dropped] == [
        (2, ["blank_line"]),
        (3, ["identical_answers"]),
        (4, ["encoding"]),
    ]
    assert path.read_bytes() == before
    assert run(out).returncode == 0


def test_a_cleaned_copy_never_replaces_a_file(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [row(), BAD])
    report = check.check([path])
    with pytest.raises(UserError):
        check.fix(report, path)
    assert len(path.read_bytes().splitlines()) == 2


def test_a_damaged_packed_file_is_not_cleaned_but_explained(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [b"\x1f\x8b\x08rest"])
    result = run(path, "--fix", tmp_path / "clean.jsonl")
    assert result.returncode == 2
    assert "its gzip is damaged" in result.stderr
    assert not (tmp_path / "clean.jsonl").exists()


def test_copies_of_files_with_one_name_lie_apart(tmp_path):
    files = [write(tmp_path / part / "x_pairs.jsonl", distinct(3)) for part in ("train", "val")]
    copies = check.fix(check.check(files), tmp_path / "clean")
    assert [str(copy.relative_to(tmp_path)) for copy in copies] == [
        "clean/train/x_pairs.jsonl",
        "clean/val/x_pairs.jsonl",
    ]


def test_many_findings_are_cut_in_the_list_and_never_in_counts_or_copies(tmp_path, monkeypatch):
    monkeypatch.setattr("rmtui.datacheck.scan.KEPT", 10)
    path = write(tmp_path / "pairs.jsonl", [*distinct(5), *["no json"] * 30])
    report = check.check([path])
    (file,) = check.document(report)["files"]
    assert (len(file["findings"]), file["findings_left_out"], file["errors"], file["good"]) == (10, 20, 30, 5)
    copies = check.fix(report, tmp_path / "clean.jsonl")
    assert [(copy.kept, copy.dropped) for copy in copies.values()] == [(5, 30)]


def test_a_copy_says_what_was_changed_in_it_and_what_stays(tmp_path):
    rows = [{**one, "id": name} for one, name in zip(distinct(5), "abacd", strict=True)]
    rows[3]["chosen"] = ""
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(one).encode() for one in rows))
    said = run(path, "--fix", tmp_path / "clean.jsonl").stdout.splitlines()[-1]
    assert "4 rows kept, 1 dropped" in said
    assert "byte order marks changed in 3" in said
    assert said.endswith("found, and kept as it is: duplicate id")
    again = run(tmp_path / "clean.jsonl", "--fix", tmp_path / "twice.jsonl").stdout
    assert "4 rows kept, 0 dropped" in again and "changed" not in again
    assert (tmp_path / "twice.jsonl").read_bytes() == (tmp_path / "clean.jsonl").read_bytes()


def test_before_a_launch_one_finding_a_kind_names_file_and_line(tmp_path):
    train = write(tmp_path / "train.jsonl", [row(), BAD, BAD, row()])
    val = write(tmp_path / "val.jsonl", distinct(300)[:250])
    found = check.before_launch(train, val)
    assert [(each.kind, each.severity) for each in found] == [("identical_answers", "error"), ("duplicate", "warning")]
    assert (found[0].path, found[0].line, found[0].count) == (train, 2, 2)
    assert "1 more line" in found[0].message() and "相同" in found[0].message("zh")
    write(tmp_path / "train.jsonl", distinct(300)[290:])
    assert check.before_launch(train, val) == []


@pytest.fixture
def checks(monkeypatch):
    """Counts how often a check really reads the files; each call is a process of its own, with nothing in memory."""
    seen = []
    scan = check.scan
    monkeypatch.setattr(check, "scan", lambda paths, *more: seen.append(paths) or scan(paths, *more))

    def launch(train, val, store, **more):
        check._before_launch.cache_clear()
        before = len(seen)
        return check.before_launch(train, val, store=store, **more), len(seen) - before

    return launch


def test_the_same_data_is_not_checked_twice(tmp_path, checks):
    train = write(tmp_path / "train.jsonl", [row(), BAD, row(chosen="\ud83d half"), row()])
    val = write(tmp_path / "val.jsonl", [row(), *distinct(250)])
    found, read = checks(train, val, tmp_path)
    assert read == 1 and len(found) > 2
    assert checks(train, val, tmp_path) == (found, 0)
    assert [one.message("zh") for one in checks(train, val, tmp_path)[0]] == [one.message("zh") for one in found]
    assert (tmp_path / "checks.json").stat().st_mode & 0o077 == 0
    train.touch()  # other times, the same bytes
    assert checks(train, val, tmp_path) == (found, 0)
    assert checks(train, val, None) == (found, 1)


@pytest.mark.parametrize("what", ["size", "bytes", "length", "code", "torn"])
def test_whatever_an_answer_rests_on_makes_it_anew(tmp_path, checks, monkeypatch, what):
    train = write(tmp_path / "train.jsonl", [row(), *distinct(5)])
    val = write(tmp_path / "val.jsonl", distinct(300)[20:])
    checks(train, val, tmp_path)
    more = {}
    if what == "size":
        write(train, [BAD, *distinct(5)])
    elif what == "bytes":
        train.write_bytes(train.read_bytes().replace(b"Paris", b"Pari\xff"))
    elif what == "length":
        more = {"max_length": 77}
    elif what == "code":
        monkeypatch.setattr("rmtui.operations.check_cache._version", lambda: "another")
    else:
        (tmp_path / "checks.json").write_bytes((tmp_path / "checks.json").read_bytes()[:-9])
    found, read = checks(train, val, tmp_path, **more)
    assert read == 1
    assert bool(found) is (what in ("size", "bytes"))
    assert checks(train, val, tmp_path, **more) == (found, 0)


def test_a_launch_remembers_in_the_workspaces_own_folder(ws, monkeypatch):
    from rmtui.launch import training_stack as stack
    from rmtui.operations.plan import plan

    monkeypatch.setattr(stack, "missing", list)
    write(ws.data / "train" / "x_pairs.jsonl", [BAD, *distinct(5)])
    write(ws.data / "val" / "x_pairs.jsonl", distinct(300)[20:])
    told = [(one.key, one.what) for one in plan(ws, LaunchRequest("A", data="x")).problems]
    assert any(key == "data.train" and "line 1: identical answers" in what for key, what in told)
    check._before_launch.cache_clear()
    monkeypatch.setattr(check, "scan", lambda *args: pytest.fail("checked again"))
    assert [(one.key, one.what) for one in plan(ws, LaunchRequest("A", data="x")).problems] == told
    assert [path.name for path in ws.state_dir.glob("*.json")] == ["checks.json"]


def test_what_cannot_be_kept_is_checked_again(tmp_path, checks):
    train, val = (write(tmp_path / f"{name}.jsonl", distinct(30)) for name in ("train", "val"))
    found, _ = checks(train, val, tmp_path / "gone")
    assert checks(train, val, tmp_path / "gone") == (found, 1)


def test_one_file_for_both_is_asked_about(tmp_path):
    path = write(tmp_path / "pairs.jsonl", distinct(30))
    assert [each.kind for each in check.before_launch(path, path)] == ["validation_is_training"]


def test_summaries_of_a_clean_report_say_so(tmp_path):
    report = check.check([write(tmp_path / "pairs.jsonl", distinct(3))])
    assert any("nothing found" in line for line in words.lines(report))
