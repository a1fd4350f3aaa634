"""Fuzz of every importer, and archives that mean harm: refused in words, never anything else."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmtui.errors import UserError
from rmtui.interchange import bundle, logs, own, tables, tensorboard, trainer_state, wandb, yaml_config

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
    ]
)
LOG = (
    st.lists(WORDS | st.text(max_size=5), max_size=40)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
)

READERS: dict[str, tuple[Callable[[Path], object], st.SearchStrategy[bytes]]] = {
    "a.log": (lambda path: logs.read_logs([path]), st.binary(max_size=400) | LOG),
    "a.log.gz": (lambda path: logs.read_logs([path]), st.binary(max_size=200).map(lambda tail: b"\x1f\x8b" + tail)),
    "a.csv": (tables.read_table, st.binary(max_size=300) | LOG.map(lambda body: b"step,loss\n" + body)),
    "trainer_state.json": (trainer_state.read_state, st.binary(max_size=300)),
    "a.json": (lambda path: own.read_export(path), st.binary(max_size=300)),
    "a.yaml": (yaml_config.read_yaml, st.binary(max_size=300) | LOG),
    "a.wandb": (wandb.read_run, st.binary(max_size=400).map(lambda body: b":W&B\xe1\xbe\x00" + body)),
    "tfevents.1": (lambda path: tensorboard.read_events([path]), st.binary(max_size=400)),
    "a.tar.gz": (lambda path: bundle.unpack(path, path.parent / "runs"), st.binary(max_size=400)),
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
    import json

    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(wrap(document)))
    for read in (trainer_state.read_state, own.read_export):
        try:
            read(path)
        except UserError:
            pass


def archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for member, data in members:
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
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
        bundle.unpack(path, runs)
    assert list(runs.iterdir()) == []
    assert not (tmp_path / "outside").exists() and not (tmp_path / "ws" / "outside").exists()


def test_an_archive_that_unfolds_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    runs = tmp_path / "runs"
    runs.mkdir()
    path = archive(tmp_path / "x.tar.gz", [(tarfile.TarInfo("run/spec.toml"), b"0" * 2000)])
    with pytest.raises(UserError, match="without end"):
        bundle.unpack(path, runs)
    assert list(runs.iterdir()) == []
