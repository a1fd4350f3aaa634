"""Fuzz of every importer, and archives that mean harm: refused in words, never anything else."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import make_run_folder, make_workspace

from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.exporters import bundle, svg
from rmtui.importers import log_files, own, table_files, tensorboard, trainer_state, wandb, yaml_config
from rmtui.importers import text_files as text

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)
WORDS = st.sampled_from(
    [
        "Epoch",
        "epoch",
        "1",
        "2/3",
        "0",
        "train_loss",
        "=",
        ":",
        "nan",
        "inf",
        "-",
        "%",
        "val_acc",
        "1e999",
        "\r",
        "\n",
        " ",
        "|",
        "٣",
        "step",
        "第",
        "轮",
        "\nepoch | val_loss\n",
        "|",
        "done",
    ]
)
LOG = (
    st.lists(WORDS | st.text(max_size=5), max_size=40)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
)

FIELD = st.builds(
    lambda number, kind, value, data: protobuf_field(number, kind, value, data),
    st.sampled_from([1, 2, 4, 5, 6, 7, 8, 16, 17]),
    st.sampled_from([0, 1, 2, 2, 2, 5]),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=12) | st.sampled_from([b"\n\x04loss", b'{"a": [1e999]}', b"\x82\x01\x03NaN"]),
)
MESSAGE = (
    st.lists(FIELD, max_size=6)
    .map(b"".join)
    .flatmap(lambda inner: st.sampled_from([inner, protobuf_field(2, 2, 0, inner), protobuf_field(5, 2, 0, inner)]))
)
"""Messages whose framing is whole, so that the readers look inside."""


def protobuf_field(number: int, kind: int, value: int, data: bytes) -> bytes:
    body = {0: varint(value), 1: value.to_bytes(8, "little"), 2: varint(len(data)) + data, 5: data[:4].ljust(4, b"x")}
    return varint(number << 3 | kind) + body[kind]


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def wandb_chunk(message: bytes) -> bytes:
    return b"\0\0\0\0" + len(message).to_bytes(2, "little") + b"\x01" + message


def event_record(message: bytes) -> bytes:
    return len(message).to_bytes(8, "little") + b"\0\0\0\0" + message + b"\0\0\0\0"


READERS: dict[str, tuple[Callable[[Path], object], st.SearchStrategy[bytes]]] = {
    "a.log": (lambda path: log_files.read_log([path]), st.binary(max_size=400) | LOG),
    "a.log.gz": (lambda path: log_files.read_log([path]), st.binary(max_size=200).map(lambda tail: b"\x1f\x8b" + tail)),
    "a.csv": (table_files.read_table, st.binary(max_size=300) | LOG.map(lambda body: b"step,loss\n" + body)),
    "trainer_state.json": (trainer_state.read_state, st.binary(max_size=300)),
    "a.json": (lambda path: own.read_export(path), st.binary(max_size=300)),
    "a.yaml": (yaml_config.read_yaml, st.binary(max_size=300) | LOG),
    "a.wandb": (wandb.read_run, st.binary(max_size=400).map(lambda body: b":W&B\xe1\xbe\x00" + body)),
    "tfevents.1": (lambda path: tensorboard.read_events(*tensorboard.folders([path])), st.binary(max_size=400)),
    "framed.wandb": (
        wandb.read_run,
        st.lists(MESSAGE, max_size=6).map(lambda held: b":W&B\xe1\xbe\x00" + b"".join(map(wandb_chunk, held))),
    ),
    "framed.tfevents": (
        lambda path: tensorboard.read_events(*tensorboard.folders([path])),
        st.lists(MESSAGE, max_size=6).map(lambda held: b"".join(map(event_record, held))),
    ),
    "a.tar.gz": (lambda path: bundle.unpack(path, path.parent / "runs", {}, {}), st.binary(max_size=400)),
}


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused_in_words(name: str, tmp_path: Path) -> None:
    read, strategy = READERS[name]
    (tmp_path / "runs").mkdir()

    @SETTINGS
    @given(strategy)
    def feed(data: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(data)
        try:
            read(path)
        except UserError:
            pass

    feed()


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"log_history": x}, lambda x: {"log_history": [x]}])
@SETTINGS
@given(document=JSON)
def test_any_json_is_read_or_refused_in_words(
    tmp_path: Path, wrap: Callable[[object], object], document: object
) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(wrap(document)))
    for read in (trainer_state.read_state, own.read_export):
        try:
            read(path)
        except UserError:
            pass


@SETTINGS
@given(points=st.lists(st.tuples(st.floats(), st.floats()), max_size=8))
def test_any_figures_are_drawn_or_left_out(points: list[tuple[float, float]]) -> None:
    drawn = svg.chart("loss", "optimizer step", [svg.SvgLine("run", points, "#000")])
    assert "nan" not in drawn and "inf" not in drawn


def archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for member, data in members:
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("/etc/rmtui-was-here"),
        tarfile.TarInfo("run/../../outside"),
        tarfile.TarInfo("run/checkpoints/../../../outside"),
        link("run/meta.toml", "/etc/passwd"),
        tarfile.TarInfo("run/.bashrc"),
        tarfile.TarInfo(".hidden/spec.toml"),
        tarfile.TarInfo("lonely"),
        tarfile.TarInfo("run/trackers/x.pkl"),
        link("run/meta.toml", "run/spec.toml", tarfile.LNKTYPE),
        link("run/control/pipe", "", tarfile.FIFOTYPE),
        link("run/control/disk", "", tarfile.BLKTYPE),
    ],
    ids=lambda member: member.name,
)
def test_a_hostile_member_is_refused_and_nothing_is_written(tmp_path: Path, member: tarfile.TarInfo) -> None:
    runs = tmp_path / "ws" / "runs"
    runs.mkdir(parents=True)
    path = archive(
        tmp_path / "x.tar.gz",
        [(tarfile.TarInfo("run/spec.toml"), b"schema = 1\n"), (member, b"x" if member.isfile() else b"")],
    )
    with pytest.raises(UserError):
        bundle.unpack(path, runs, {}, {})
    assert list(runs.iterdir()) == []
    assert not (tmp_path / "outside").exists() and not (tmp_path / "ws" / "outside").exists()


def test_an_archive_that_unfolds_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    runs = tmp_path / "runs"
    runs.mkdir()
    path = archive(tmp_path / "x.tar.gz", [(tarfile.TarInfo("run/spec.toml"), b"0" * 2000)])
    with pytest.raises(UserError, match="without end"):
        bundle.unpack(path, runs, {}, {})
    assert list(runs.iterdir()) == []


def test_a_gzip_bomb_is_refused_long_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "RATIO_FROM", 1 << 20)
    runs = tmp_path / "runs"
    runs.mkdir()
    spec, zeros = (tarfile.TarInfo("run/spec.toml"), b"schema = 1\n"), tarfile.TarInfo("run/model/weights")
    path = archive(tmp_path / "x.tar.gz", [spec, (zeros, b"\0" * (32 << 20))])
    with pytest.raises(UserError, match="times its size"):
        bundle.unpack(path, runs, {}, {})
    assert list(runs.iterdir()) == []


def test_a_header_as_large_as_the_memory_is_refused(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    header = tarfile.TarInfo("run/spec.toml")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / "x.tar").write_bytes(header.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(UserError, match="header"):
        bundle.unpack(tmp_path / "x.tar", runs, {}, {})
    assert list(runs.iterdir()) == []


def test_a_bundle_that_does_not_fit_on_the_disk_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    monkeypatch.setattr(bundle.shutil, "disk_usage", lambda _: type("Usage", (), {"free": bundle.SPARE + 1000}))
    members = [(tarfile.TarInfo("run/spec.toml"), b"schema = 1\n"), (tarfile.TarInfo("run/events.jsonl"), b"x" * 2000)]
    with pytest.raises(UserError, match="disk"):
        bundle.unpack(archive(tmp_path / "x.tar.gz", members), runs, {}, {})
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("attempt-1/exit.json", b'{"outcome": []}'),
        ("attempt-1/exit.json", b'{"ended": "x"}'),
        ("attempt-1/launch.json", b'{"t": "x"}'),
        ("meta.toml", b"tags = 3"),
        ("spec.toml", b"launch = 3"),
    ],
)
def test_a_bundle_with_an_unreadable_document_never_lands(
    tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = make_workspace(tmp_path / "ws")
    files = {"spec.toml": b'name = "x"\n', "attempt-1/launch.json": b"{}", name: content}
    path = archive(tmp_path / "x.tar.gz", [(tarfile.TarInfo(f"run/{at}"), data) for at, data in files.items()])
    assert main(["-C", str(ws.root), "import", str(path)]) == 2
    assert f"{name} is unreadable" in capsys.readouterr().err
    assert list(ws.runs.iterdir()) == []


def test_a_bundle_brings_no_requests_and_no_id_of_a_training_that_lives_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = make_workspace(tmp_path / "ws")
    run = "20260101-000000-abcd"
    files = {
        "spec.toml": b'name = "x"\n',
        "control/stop-1.json": b'{"now": true, "attempt": 1}',
        "attempt-1/launch.json": b"{}",
    }
    path = archive(tmp_path / "x.tar.gz", [(tarfile.TarInfo(f"{run}/{at}"), data) for at, data in files.items()])
    sleeper = subprocess.Popen(["sleep", "60"], env=os.environ | {"RMTUI_RUN": f"{run}:1:ff"})
    try:
        assert main(["-C", str(ws.root), "import", str(path)]) == 2
        assert "is training on this machine" in capsys.readouterr().err
        assert list(ws.runs.iterdir()) == []
    finally:
        sleeper.kill()
        sleeper.wait()
    assert main(["-C", str(ws.root), "import", str(path)]) == 0
    assert not (ws.runs / run / "control").exists()


def test_what_a_killed_import_left_is_gone_after_the_next_one(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path / "ws")
    left = ws.runs / ".import-killed"
    (left / "run").mkdir(parents=True)
    path = archive(tmp_path / "x.tar.gz", [(tarfile.TarInfo("run/spec.toml"), b'name = "x"\n')])
    assert main(["-C", str(ws.root), "import", str(path)]) == 0
    assert [each.name for each in ws.runs.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "line",
    [
        *(word + " " * 60_000 for word in ("epoch", "step", "val_acc 1", "val_loss =")),
        *(word * 10_000 for word in ("epoch [", "train_", "val: {", "1/", "loss 1,", "第1", "|")),
        *(word * 6_000 for word in ("{'loss': ", "%||1/1 [a,", '"epoch": {', "Epoch [1/2] Step ", " - a:1 step:")),
    ],
    ids=lambda line: line[:10].strip(),
)
def test_no_line_takes_longer_than_its_length_is_worth(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"{line}\nEpoch 1: val_loss=0.5\n")
    with processor_seconds(5):
        (run,) = log_files.read_log([path])
    assert run.epochs[0].val_loss == 0.5


@contextmanager
def processor_seconds(most: int) -> Iterator[None]:
    """Ends what uses far more of the processor than it needs, however busy the machine is."""

    def stop(signum: int, frame: object) -> None:
        raise AssertionError(f"not done after {most} s of the processor")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("repeated", ["x", "\0", "Epoch 1: val_loss=0.5 "], ids=["letters", "NULs", "figures"])
def test_a_line_of_200_megabytes_is_read_in_bounded_memory(tmp_path: Path, repeated: str) -> None:
    log = tmp_path / "helpful_1.log"
    block = repeated.encode() * ((1 << 20) // len(repeated))
    with log.open("wb") as file:
        for _ in range(200):
            file.write(block)
        file.write(b"\nEpoch 2: val_loss=0.25\n")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (300 << 20,) * 2);"
        "from pathlib import Path; from rmtui.importers.log_files import read_log as read_logs;"
        "print(read_logs([Path(sys.argv[1])])[0].epochs[-1].val_loss)"
    )
    done = subprocess.run([sys.executable, "-c", limited, str(log)], capture_output=True, text=True, check=False)
    assert done.stdout == "0.25\n", done.stderr[-500:]


def test_a_packed_log_that_unfolds_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_UNPACKED", 1 << 20)
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(b"x" * (2 << 20)))
    with pytest.raises(UserError, match="unfolds"):
        log_files.read_log([path])


BAD = "a\x1b[2J\x1b]0;title\x07\nb\x9b1m"


def test_no_word_of_a_foreign_file_reaches_the_terminal_as_an_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = make_workspace(tmp_path / "ws")
    export = {"id": "x", "name": BAD, "config": {BAD: BAD, "lora": {"r": [BAD]}}, "epochs": [{"epoch": 1}], "note": BAD}
    export |= {"metrics": {f"loss{BAD}": [[1, 0.5]]}, "tags": [BAD], "data": BAD, "preset": BAD, "reason": BAD}
    (tmp_path / "export.json").write_text(json.dumps(export))
    history = [{"epoch": 1.0, "step": 5, f"los{BAD}": 0.5, "eval_loss": 0.4}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    (tmp_path / f"{BAD}.log").write_text("Epoch 1: val_loss=0.5\n")
    folder = make_run_folder(make_workspace(tmp_path / "evil"), BAD, run_id="20260101-000000-aaaa", reason=BAD, log=BAD)
    bundle.pack(folder.path, tmp_path / "evil.tar.gz")
    files = ["export.json", "trainer_state.json", f"{BAD}.log", "evil.tar.gz"]
    words = ["-C", str(ws.root)]
    assert main([*words, "import", *(str(tmp_path / name) for name in files)]) == 0
    ids = [path.name for path in ws.runs.iterdir()]
    assert len(ids) == 4
    asked = [[verb, run_id] for verb in ("show", "advise", "plot", "logs", "stop", "pairs") for run_id in ids]
    asked += [["ls"], ["compare", *ids], *(["export", *ids, "--format", form] for form in ("csv", "markdown", "html"))]
    for one in asked:
        assert main([*words, *one]) in (0, 1, 2), one
    said = capsys.readouterr()
    assert "loss" in said.out
    assert not set("\x1b\x07\x9b") & set(said.out + said.err)
