"""Locks that somebody keeps, outputs that take little, a served app, clocks, events that are replaced, many files."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest
from support import START, make_run_folder, training

from rmtui.index.index import Index
from rmtui.launch.verdict import first_exit
from rmtui.runs import life, state
from rmtui.runs.files import lock_held, locked
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace
from trainer.events import Event

VERBS = (["ls"], ["show", "@latest"], ["presets"], ["doctor", "--fast"], ["queue"], ["logs", "@latest"])


@pytest.fixture
def made(ws: Workspace) -> Workspace:
    make_run_folder(ws, "größer-中文-✓", created=START)
    return ws


def verb(ws: Workspace, words: list[str], redirect: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = 'exec "$@" ' + redirect
    return subprocess.run(
        ["sh", "-c", line, "sh", *fault_kit.verb_line(ws, *words)],
        env=fault_kit.verb_environment() | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "koi8-r"])
@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_an_output_of_another_encoding_gets_what_it_can_take(made, words, encoding):
    done = verb(made, words, "", PYTHONIOENCODING=encoding)
    assert "Traceback" not in done.stderr and "Unicode" not in done.stderr
    assert done.returncode == verb(made, words, "").returncode


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", ">/dev/full"])
@pytest.mark.parametrize(
    "words", [["ls"], ["show", "@latest"], ["ls", "--json"], ["nonsense"]], ids=lambda words: words[-1]
)
def test_a_closed_or_full_output_ends_in_no_traceback(made, words, redirect):
    done = verb(made, words, redirect)
    assert not re.search("Traceback|Exception|Error:", done.stderr), done.stderr
    usual = verb(made, words, "").returncode
    assert done.returncode == (1 if redirect == ">/dev/full" and usual == 0 else usual)


def test_with_everything_closed_no_file_of_the_workspace_gets_the_output(made):
    verb(made, ["note", "@latest", "kept"], ">&- 2>&- <&-")
    run = next(iter(made.runs.glob("2*")))
    assert "kept" in (run / "meta.toml").read_text()
    assert made.database.read_bytes()[:6] == b"SQLite"


def test_a_reason_and_a_metric_from_a_file_are_text_in_lists_and_spreadsheets(made):
    """A pipe gets one line of at most 300 cells; a spreadsheet gets no formula."""
    event = Event("step", START, 1, 0.1, {"=HYPERLINK(1)": 1.0, "@x": 2.0, "loss": 3.0}, {})
    run = make_run_folder(made, "odd", events=[event])
    ended = {"outcome": "failed", "reason": "one\r\n\x1b[2Ktwo " + "long " * 500}
    (run.path / "attempt-1" / "exit.json").write_text(json.dumps(ended))
    (row,) = [line for line in fault_kit.rmtui(made, "ls").stdout.splitlines() if "odd" in line]
    reason = row.split("\t")[-1]
    assert reason.startswith("one two long") and len(reason) <= 300 and reason.endswith("…")
    head = fault_kit.rmtui(made, "export", "odd", "--format", "csv").stdout.splitlines()[0]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in head.split(",")) and "'=HYPERLINK(1)" in head


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "html"])
def test_export_to_a_dash_is_stdout(made, tmp_path, form):
    done = subprocess.run(
        fault_kit.verb_line(made, "export", "@latest", "--format", form, "-o", "-"),
        env=fault_kit.verb_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("0.31585096599918727" if form == "csv" else "größer") in done.stdout
    assert list(tmp_path.glob("-*")) == []


def test_a_tarball_goes_through_a_pipe_too(made, tmp_path):
    """`rmtui export RUN --format tar -o - | ssh there rmtui import`: what a pipe gives is imported like a file."""
    line = fault_kit.verb_line(made, "export", "@latest", "--format", "tar", "-o", "-")
    done = subprocess.run(line, env=fault_kit.verb_environment(), cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "run.tar.gz").write_bytes(done.stdout)
    other = kit.make_workspace(tmp_path / "other")
    assert fault_kit.rmtui(other, "import", str(tmp_path / "run.tar.gz")).returncode == 0
    assert [path.name for path in other.runs.glob("2*")] == [path.name for path in made.runs.glob("2*")]
    assert list(tmp_path.glob("-*")) == []


def test_a_ledger_that_somebody_keeps_delays_only_its_own_lines(made):
    """The candidates of a validation set are written down by whoever shows a run, and by the next one where not now."""
    other = make_run_folder(made, "other", created=START + 60)
    for folder in made.runs.glob("2*"):
        (folder / "validation").mkdir()
        lines = [json.dumps({"id": str(n), "chosen": n % 3, "rejected": 0.5}) for n in range(12)]
        (folder / "validation" / "epoch-1.jsonl").write_text("\n".join(lines))
        (folder / "validation" / "epoch-2.jsonl").write_text("\n".join(lines))
        (folder / "validation" / "epoch-3.jsonl").write_text("\n".join(lines))
    (made.root / "candidates").mkdir()
    kept = made.root / "candidates" / f"{'bb' * 16}.lock"
    with locked(kept, 1.0):
        done = verb(made, ["show", other.id, "--json"], "")
        assert done.returncode == 0 and json.loads(done.stdout)["chosen"]["candidates"] == 6, done.stderr
    assert not kept.with_suffix(".jsonl").exists()


@pytest.mark.parametrize("what", ["queue", "meta"])
def test_a_lock_that_somebody_keeps_is_named_with_its_holder(made, what):
    run = RunFolder(next(iter(made.runs.glob("2*"))))
    run.control.mkdir(exist_ok=True)
    file = made.queue / "turn.lock" if what == "queue" else run.control / "meta.lock"
    file.touch()
    holder = subprocess.Popen(["flock", file, "sleep", "120"], start_new_session=True)
    try:
        kit.until(lambda: lock_held(file))
        words = ["queue", "--move", run.id, "1"] if what == "queue" else ["note", run.id, "text"]
        done = fault_kit.rmtui(made, *words)
        assert done.returncode == 1
        assert "waiting for" in done.stderr and re.search(r"held for 10 s by pid \d+ \(.*sleep 120\)", done.stderr), (
            done.stderr
        )
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()


def test_a_waiting_run_outlasts_a_queue_that_somebody_keeps(ws, monkeypatch):
    """The lock's holder is at fault, not the run: it goes on waiting and begins when the lock is free."""
    holder = subprocess.Popen(["flock", ws.queue / "turn.lock", "sleep", "120"], start_new_session=True)
    run = RunFolder.create(ws.runs, kit.spec(steps=1))
    try:
        kit.until(lambda: lock_held(ws.queue / "turn.lock"))
        from rmtui.launch import spawn
        from rmtui.runs import queue_tickets

        queue_tickets.add(ws.queue, run.id, 1, kit.slots.needs_of(run.spec()))
        spawn.wait_in_line(ws, run, 1)
        kit.until(lambda: "the queue has been held" in state.status(run).reason, "why it waits", 30)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
    assert kit.until_ended(run).state == State.FINISHED


@pytest.mark.parametrize("days", [-40, 40])
def test_latest_is_the_run_that_was_launched_last_whatever_the_clock_says(ws, days):
    code = f"import time; now = time.time; time.time = lambda: now() + {days * 86_400}\n"
    first, second = (code, "") if days > 0 else ("", code)
    runs = [fault_kit.start_in_a_process(ws, before, steps=1) for before in (first, second)]
    for run in runs:
        kit.until_ended(run)
    assert f'"id": "{runs[1].id}"' in fault_kit.rmtui(ws, "show", "@latest", "--json").stdout


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("presets/x.toml", ["presets", "x"]),
        ("workspace.toml", ["ls"]),
        ("pairs.jsonl", ["check", "pairs.jsonl"]),
        ("log.txt", ["import", "log.txt"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fifo_in_a_files_place_is_refused_and_never_waited_for(made, place, words, monkeypatch):
    (made.root / place).unlink(missing_ok=True)
    os.mkfifo(made.root / place)
    words = [str(made.root / word) if word == place else word for word in words]
    done = fault_kit.rmtui(made, *words)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "FIFO" in done.stderr or words[0] == "import"


def losses(index: Index, run: RunFolder) -> list[tuple[int, float]]:
    index.sync()
    return index.series_full(run.id, "loss")


@pytest.mark.parametrize("how", ["shorter", "other head", "other file of the same size", "gone"])
def test_events_that_were_replaced_are_read_again(ws, how):
    run = make_run_folder(ws, "x", created=START)
    file = run.path / "attempt-1" / "events.jsonl"
    with Index.open(ws) as index:
        before = losses(index, run)
        lines = file.read_bytes().splitlines(keepends=True)
        if how == "shorter":
            file.write_bytes(b"".join(lines[: len(lines) // 2]))
        elif how == "gone":
            file.write_bytes(b"")
        else:
            new = file.with_name("new")
            text = b"".join(lines).replace(b'"loss": 0.', b'"loss": 1.', 10**6 if how == "other head" else 1)
            new.write_bytes(text if how != "other head" else b"\n" + text)
            new.replace(file)
        after = losses(index, run)
    assert after != before or how == "other file of the same size"
    with Index(ws, ws.root / "fresh.sqlite") as fresh:
        assert losses(fresh, run) == after


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(ws: Workspace, *words: str, host: str = "127.0.0.1"):
    pytest.importorskip("textual_serve")
    port = free_port()
    line = fault_kit.verb_line(ws, "serve", "--port", str(port), *words)
    server = subprocess.Popen(line, env=fault_kit.verb_environment(), stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().rpartition(" ")[2].strip()
        kit.until(lambda: listens(host, port), "the server")
        yield server, address, port
    finally:
        server.kill()
        server.wait()


def listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


async def test_an_open_page_does_not_keep_the_server_or_its_app(made):
    aiohttp = pytest.importorskip("aiohttp")
    with served(made) as (server, address, port):
        base, _, query = address.partition("/?")
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            async with session.get(f"{base}/?{query}"):
                assert [cookie.key for cookie in jar] == [f"rmtui-token-{port}"]
            for size in ("width=99999999&height=30", "width=80&height=-1", "width=x"):
                async with session.get(f"{base}/ws?{size}", headers={"Origin": base}) as refused:
                    assert refused.status == 400
            async with session.ws_connect(f"{base}/ws?width=100&height=30", headers={"Origin": base}) as page:
                await page.receive(timeout=60)
                children = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=True)
                server.send_signal(signal.SIGTERM)
                server.wait(10)
        kit.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.stdout.split()), "the app's end", 5)


def test_a_taken_port_is_said(made):
    with served(made) as (_, _, port):
        done = fault_kit.rmtui(made, "serve", "--port", str(port))
    assert done.returncode == 1 and "another program is listening there" in done.stderr and "--port" in done.stderr


@pytest.mark.parametrize("port", ["99999", "0", "-1"])
def test_a_port_that_is_none_is_said(made, port):
    done = fault_kit.rmtui(made, "serve", f"--port={port}")
    assert done.returncode == 2 and f"{port} is not a port" in done.stderr and done.stdout == ""


def test_an_address_of_ipv6_is_written_so_that_it_can_be_opened(made):
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        with served(made, "--host", "::1", host="::1") as (_, address, port):
            assert address.startswith(f"http://[::1]:{port}/?token=")
            jar = http.cookiejar.CookieJar()
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
            page = urllib.request.Request(address, headers={"Origin": f"http://[::1]:{port}"})
            assert opener.open(page).status == 200
        return
    pytest.skip("no IPv6 here")


def test_a_launchers_log_of_any_size_is_read_from_its_end(made):
    """A sparse file of 64 GB: no memory holds it whole."""
    run = make_run_folder(made, "loud", outcome=None)
    log = run.path / "attempt-1" / "logs" / "launch.log"
    with log.open("wb") as file:
        file.seek(1 << 36)
        file.write(b"failed (exitcode: 7) local_rank: 1 (pid: 77) of binary: python\n")
    assert first_exit(run.attempts()[0], None) == (7, 1)
    assert fault_kit.rmtui(made, "ls").returncode == 0


def test_twenty_thousand_files_in_control_cost_a_supervisor_little(ws):
    run = kit.start(ws, steps=5, hold_at=2)
    kit.until_step(run, 2)
    for number in range(20_000):
        (run.control / f"note-{number}.json").write_text("{}")
    attempt = run.attempts()[0]
    began = life.supervisor_beat(attempt).t + 3
    kit.until(lambda: life.supervisor_beat(attempt).t > began, "what is new to be old")
    pid = kit.supervisor(run).pid
    before = processor_seconds(pid)
    kit.until(lambda: life.supervisor_beat(attempt).t > began + 5, "five seconds of beats")
    assert processor_seconds(pid) - before < 0.15, "beats, stat of a folder, and the index every two seconds"
    kit.go(run)
    assert kit.until_ended(run).state == State.FINISHED


def processor_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_folder_of_many_new_runs_is_read_a_run_in_little_time(ws):
    """A thousand copies of one run, without the index: measured in processor time, against reading JSON alone."""
    first = make_run_folder(ws, "x", events=training(), created=START)
    for number in range(300):
        shutil.copytree(first.path, ws.runs / f"20251009-085325-{number + 10_000}")
    done = subprocess.run(
        ["sh", "-c", '"$@" >/dev/null; times', "sh", *fault_kit.verb_line(ws, "ls")],
        env=fault_kit.verb_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    user = done.stdout.splitlines()[1].split()[0]
    minutes, seconds = user.rstrip("s").split("m")
    assert 60 * int(minutes) + float(seconds) < 3, f"{user} for 301 runs"
