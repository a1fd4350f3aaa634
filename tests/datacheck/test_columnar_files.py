"""Parquet, Arrow and zstd, which pyarrow reads in a process of its own."""

import json
import subprocess
import sys
from decimal import Decimal

import pytest
from check_rows import row, write
from layout_cases import TEXTS, assistant, records, user, write_lines

from rmtui.operations.check import check, fix
from rmtui.operations.convert import convert
from trainer import containers, pairs
from trainer.held_out import Part, view

arrow = pytest.importorskip("pyarrow")
from pyarrow import ipc, parquet  # noqa: E402

NAMES = (
    "pairs",
    "UltraFeedback binarized",
    "UltraFeedback",
    "SHP",
    "Nectar",
    "HelpSteer3",
    "OASST messages",
    "HelpSteer",
)


def write_parquet(path, found):
    parquet.write_table(arrow.Table.from_pylist(found), path, row_group_size=2)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_columns_hold_the_same_pairs_as_lines(tmp_path, name):
    found = records(name, TEXTS * 2)
    wanted = pairs.fingerprint(write_lines(tmp_path / "x.jsonl", found))
    assert pairs.fingerprint(write_parquet(tmp_path / "x.parquet", found)) == wanted
    table = arrow.Table.from_pylist(found)
    with ipc.new_file(tmp_path / "x.feather", table.schema) as file:
        file.write_table(table)
    with ipc.new_stream(tmp_path / "data-00000-of-00001.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=2)
    assert pairs.fingerprint(tmp_path / "x.feather") == wanted
    assert pairs.fingerprint(tmp_path / "data-00000-of-00001.arrow") == wanted


@pytest.mark.parametrize("name", ["pairs", "SHP"])
def test_two_processes_are_enough_for_a_folder_of_many_shards(tmp_path, name, monkeypatch):
    every = [(f"Question {number}?", f"Right answer {number}.", f"Wrong one {number}.") for number in range(12)]
    for number in range(6):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        write_parquet(folder / f"train-{number}-of-6.parquet", records(name, every[2 * number : 2 * number + 2]))
    asked = []
    popen = subprocess.Popen
    monkeypatch.setattr(containers.subprocess, "Popen", lambda what, **how: asked.append(what) or popen(what, **how))
    (report,) = check([folder], look_for_near=False).files
    assert (report.good, report.errors, report.lines) == (12, 0, 12)
    assert len(asked) == 2, asked
    wanted = pairs.fingerprint(write_lines(tmp_path / "x.jsonl", records(name, every)))
    assert pairs.fingerprint(folder) == wanted


def test_a_broken_shard_among_many_is_named(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        write_parquet(folder / f"{number}.parquet", records("SHP"))
    (folder / "1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(pairs.Unreadable, match="its Parquet is broken") as caught:
        pairs.recognise(folder)
    assert "1.parquet" in str(caught.value)


@pytest.mark.parametrize("frames", [1, 2])
def test_zstd_holds_whatever_was_packed(tmp_path, frames):
    lines = "".join(json.dumps(record) + "\n" for record in records("SHP")).encode()
    pack = arrow.Codec("zstd")
    parts = [lines] if frames == 1 else lines.splitlines(keepends=True)
    (tmp_path / "x.jsonl.zst").write_bytes(b"".join(pack.compress(part, asbytes=True) for part in parts))
    assert pairs.recognise(tmp_path / "x.jsonl.zst").describe().startswith("SHP, JSON lines in zstd")
    assert pairs.fingerprint(tmp_path / "x.jsonl.zst") == pairs.fingerprint(
        write_lines(tmp_path / "x.jsonl", records("SHP"))
    )
    table = "prompt,chosen,rejected\n" + "".join(",".join(text) + "\n" for text in TEXTS)
    (tmp_path / "x.csv.zst").write_bytes(pack.compress(table.encode(), asbytes=True))
    assert [one.chosen for one in pairs.read_rows(tmp_path / "x.csv.zst")] == [text[1] for text in TEXTS]


def test_nulls_of_a_struct_are_no_part_of_a_message(tmp_path):
    called = {"role": "assistant", "content": None, "tool_calls": [{"name": "weather"}]}
    record = {
        "chosen": [user("Rain?"), called, assistant("Yes.")],
        "rejected": [user("Rain?"), called, assistant("No.")],
    }
    plain = {"chosen": [user("Why?"), assistant("So.")], "rejected": [user("Why?"), assistant("No.")]}
    one, two = pairs.read_rows(write_parquet(tmp_path / "x.parquet", [record, plain]))
    assert two.prompt == [user("Why?")] and two.chosen == [assistant("So.")]
    assert [turn["role"] for turn in one.prompt] == ["user", "assistant"]


def test_odd_values_parts_and_named_fields_of_a_layout_are_as_in_lines(tmp_path):
    found = records("SHP", TEXTS * 40)
    table = arrow.Table.from_pylist(found)
    price = arrow.array([Decimal("1.5")] * len(found))
    odd = table.append_column("price", price).append_column("packed", arrow.array([b"\xff"] * len(found)))
    parquet.write_table(odd, tmp_path / "odd.parquet")
    lines = write_lines(tmp_path / "x.jsonl", found)
    assert pairs.fingerprint(tmp_path / "odd.parquet") == pairs.fingerprint(lines)
    for side in ("train", "val"):
        part = Part(0.4, 3, side)
        assert pairs.fingerprint(view(tmp_path / "odd.parquet", part)) == pairs.fingerprint(view(lines, part))
    named = {"prompt": "history", "chosen": "human_ref_B", "rejected": "human_ref_A"}
    write_parquet(tmp_path / "x.parquet", found)
    assert pairs.fingerprint(tmp_path / "x.parquet", named) == pairs.fingerprint(lines, named)
    assert pairs.fingerprint(lines, named) != pairs.fingerprint(lines)


def test_a_long_table_says_how_far_it_is(tmp_path):
    heard = []
    path = write_parquet(tmp_path / "x.parquet", records("SHP", TEXTS * 1500))
    check([path], look_for_near=False, progress=lambda name, share: heard.append(share))
    assert heard == sorted(heard) and any(0.1 < share < 0.9 for share in heard) and heard[-1] == 1.0


def test_findings_in_a_table_name_its_rows_and_a_cleaned_file_lacks_them(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", [row(), row(chosen=""), row(chosen="Another answer."), row()])
    report = check([path], look_for_near=False)
    assert [(one.line, one.kind) for one in report.files[0].findings] == [(2, "empty_field"), (4, "duplicate")]
    assert [(copy.kept, copy.dropped) for copy in fix(report, tmp_path / "clean.jsonl").values()] == [(2, 2)]
    assert check([tmp_path / "clean.jsonl"], look_for_near=False).files[0].errors == 0


@pytest.mark.parametrize("cut", [4, 60, 400])
def test_a_cut_off_file_says_so(tmp_path, cut):
    path = write_parquet(tmp_path / "x.parquet", records("SHP", TEXTS * 50))
    write(path, [path.read_bytes()[:-cut]])
    (report,) = check([path], look_for_near=False).files
    assert [one.kind for one in report.findings] == ["unreadable_file"]
    assert "its Parquet is damaged" in report.findings[0].message


def test_a_process_that_is_killed_while_it_hands_over_rows_is_an_unreadable_file(tmp_path, monkeypatch):
    reading = pairs.recognise(write_parquet(tmp_path / "x.parquet", records("SHP", TEXTS)))
    for block in (b"", b"0.5 7", b"0.500000 2 16 99\n", b"0.500000 2 16 99\n" + bytes(40)):
        killed = f"import os; os.write(1, {block!r}); os.kill(os.getpid(), 9)"
        monkeypatch.setattr(containers, "_COMMAND", (sys.executable, "-c", killed))
        with pytest.raises(pairs.Unreadable, match="its Parquet is broken"):
            list(reading.lines())


def test_a_folder_of_parquet_shards(tmp_path):
    (tmp_path / "data").mkdir()
    for number in range(3):
        write_parquet(
            tmp_path / "data" / f"train-{number:05}-of-00003.parquet", records("HelpSteer3", TEXTS[number : number + 1])
        )
    made = convert(tmp_path / "data", tmp_path / "out.jsonl")
    assert (made.kept, made.records, made.reading.container) == (3, 3, "Parquet, 3 files")


def test_reading_stops_without_leaving_a_process(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", records("SHP", TEXTS * 5000))
    with containers.open_content(path, "Parquet") as (content, _):
        assert content.readline().startswith(b"{")
    before = subprocess.run(["pgrep", "-f", str(path)], capture_output=True, text=True, check=False)
    assert before.stdout == ""


def test_without_pyarrow_the_remedy_is_said(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "x.parquet", records("SHP"))
    lacking = "import sys; sys.modules['pyarrow'] = None; from trainer.data.columnar import main; "
    lacking += "sys.exit(main(*sys.argv[1:]))"
    monkeypatch.setattr(containers, "_COMMAND", (sys.executable, "-c", lacking))
    (report,) = check([path], look_for_near=False).files
    assert "needs pyarrow" in report.findings[0].message and "[parquet]" in report.findings[0].message


def test_the_reader_of_columns_is_imported_by_nobody(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", records("SHP"))
    program = (
        "import sys; from pathlib import Path; from rmtui.operations.check import check; "
        f"assert check([Path({str(path)!r})]).files[0].good == 3; "
        "print([name for name in ('pyarrow', 'numpy', 'torch', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
