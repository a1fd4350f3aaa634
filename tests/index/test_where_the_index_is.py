"""Where runs.sqlite is kept when the workspace is shared by the hosts of a cluster: on a disk of each host."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import support

from rmtui import workspace
from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.workspace import Workspace


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say that these folders are on NFS, which cannot be mounted here, and everything else on ext4."""

    def mount(*folders: Path) -> None:
        def kind(path: Path) -> str:
            return "nfs4" if any(path.is_relative_to(folder) for folder in folders) else "ext4"

        monkeypatch.setattr(workspace, "on_network", lambda path: kind(path) == "nfs4")

    return mount


def database(ws: Workspace) -> Path:
    return workspace.open_workspace(ws.root).database


def test_a_local_workspace_holds_its_index(ws: Workspace, network: Callable[..., None]) -> None:
    network()
    assert database(ws) == ws.root / "runs.sqlite"


def test_beside_a_workspace_on_nfs_it_is_in_the_state_folder(ws: Workspace, network: Callable[..., None]) -> None:
    network(ws.root)
    support.make_run_folder(ws)
    with Index.open(workspace.open_workspace(ws.root)) as index:
        index.sync()
        assert index.count() == 1
    assert database(ws) == ws.state_folder() / "runs.sqlite" and database(ws).exists()
    assert not (ws.root / "runs.sqlite").exists()


def test_where_home_is_on_nfs_too_it_is_in_a_private_folder_of_the_hosts_own_disk(
    ws: Workspace, network: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(os.environ["XDG_STATE_HOME"])
    disks = tuple(tmp_path / name for name in ("shared", "others", "open", "mine"))
    for disk in disks:
        disk.mkdir()
    monkeypatch.setattr(workspace, "LOCAL_BASES", disks)
    own = f"rmtui-{os.geteuid()}"
    (tmp_path / "theirs").mkdir()
    (disks[1] / own).symlink_to(tmp_path / "theirs")  # laid there by somebody who waits for our files
    (disks[2] / own).mkdir()
    (disks[2] / own).chmod(0o777)
    network(ws.root, home, disks[0])
    found = database(ws)
    assert found.is_relative_to(disks[3] / own) and (disks[3] / own).stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "theirs").iterdir()) == []
    assert not home.exists()


def test_a_host_without_a_disk_has_a_file_of_its_own(
    ws: Workspace, network: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "LOCAL_BASES", ())
    network(ws.root, Path(os.environ["XDG_STATE_HOME"]))
    assert database(ws) == ws.state_dir / f"runs-{socket.gethostname()}.sqlite"


def test_a_person_may_name_the_place(ws: Workspace, network: Callable[..., None], tmp_path: Path) -> None:
    network()
    (ws.root / "workspace.toml").write_text('index = "local"\n')
    assert database(ws).parent == ws.state_folder()
    (ws.root / "workspace.toml").write_text(f'index = "{tmp_path / "scratch"}"\n')
    assert database(ws).is_relative_to(tmp_path / "scratch") and database(ws).parent.is_dir()
    (ws.root / "workspace.toml").write_text('index = "scratch"\n')
    with pytest.raises(UserError, match="index = 'scratch' is neither local nor the whole path of a folder"):
        database(ws)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a host name of its own needs root")
def test_two_login_nodes_at_once_list_the_same_runs_each_from_its_own_index(ws: Workspace, tmp_path: Path) -> None:
    (ws.root / "workspace.toml").write_text('index = "local"\n')
    for number in range(10):
        support.make_run_folder(ws, name=f"run-{number}")

    def login(name: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "rmtui", "-C", str(ws.root), "ls", "--json"]
        inside = ["unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh", *words]
        env = os.environ | {"XDG_STATE_HOME": str(tmp_path / name)}
        return subprocess.Popen(inside, env=env, stdout=subprocess.PIPE, text=True)

    def listed(first: str, second: str) -> list[list[tuple[str, str]]]:
        both = [login(first), login(second)]
        found = [json.loads(process.communicate(timeout=60)[0]) for process in both]
        assert all("unknown" not in row["state"] for rows in found for row in rows)
        return [[(row["id"], row["state"]) for row in rows] for rows in found]

    one, other = listed("login1", "login2")
    assert one == other and len(one) == 10
    support.make_run_folder(ws, name="later")
    shutil.rmtree(ws.runs / one[0][0])
    again, there = listed("login1", "login2")
    assert again == there and len(again) == 10 and again != one
    assert len(list(tmp_path.glob("login?/**/runs.sqlite"))) == 2 and not (ws.root / "runs.sqlite").exists()
