"""The folder of a person's work: the place of runs, presets, queue and index, and its settings. Reads no run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

import tomli

from rmtui.errors import UserError
from trainer.plain_files import read_plain

LARGEST_SETTINGS = 1 << 20

SETTINGS_FILE = "workspace.toml"
LOCAL = "local"
LOCAL_BASES = (Path("/var/tmp"), Path("/tmp"))
"""Where a host of a cluster has a disk of its own."""
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "afs"}
"""File systems on which SQLite's locks or shared memory are not to be trusted; FUSE mounts count as well."""

_DISKS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"}

_TEMPLATE = """\
# Settings of this workspace. Every line may be left out; paths are relative to this folder.

# model = "models/base"       # pretrained model of launches that name none: a folder or a hub name
# data = "helpful"            # data/train/helpful_pairs.jsonl and data/val/helpful_pairs.jsonl
# processes = 8               # default: the visible GPUs, else 1
# cpu_runs = 1                # runs at once when there is no GPU
# stop_grace = 90             # seconds that a stopped run has for its checkpoint before it is killed
# lang = "en"                 # en or zh; default: from LANG
# theme = "dark"
# index = "local"             # keep runs.sqlite off the workspace: on a disk of each host, or in a folder that you name
# bell = false                # the terminal's bell when a run finishes, fails or stalls
# on_finished = ""            # commands; RMTUI_RUN_ID, RMTUI_STATE and RMTUI_REASON are in their environment
# on_failed = ""
# on_stalled = ""

# launcher = "slurm"          # launches are jobs of the cluster unless they say --on here
# [slurm]                     # for `rmtui launch --on slurm`; see docs/cluster.md
# partition = "gpu"
# account = ""
# time = "8:00:00"
# nodes = 1
# chain = 3                   # where the site forbids a requeue: further jobs, each to go on after the one before
# gpu_option = "gres"         # where the site wants --gres=gpu:N in place of --gpus-per-node=N
# sbatch = ["qos=normal"]     # further options of sbatch
# prologue = "module load cuda"
"""


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """[slurm] of workspace.toml: what jobs ask for where a launch does not say. Empty means not set."""

    partition: str = ""
    account: str = ""
    time: str = ""
    """As Slurm writes it: `8:00:00`, `2-00:00`."""
    nodes: int | None = None
    cpus: int | None = None
    """Cores a process."""
    memory_mb: int | None = None
    """Of a node."""
    chain: int | None = None
    """Further jobs that are submitted with each one, where the site forbids a requeue."""
    gpu_option: str = ""
    """`gres` where the site wants --gres=gpu:N; else --gpus-per-node=N."""
    sbatch: list[str] = field(default_factory=list)
    """Further options of sbatch, `qos=high`."""
    srun: list[str] = field(default_factory=list)
    """Further options of the srun that starts the ranks, `--container-image=…` of pyxis."""
    wrap: str = ""
    """Before the command of each node: `apptainer exec --nv image.sif`."""
    prologue: str = ""
    """Lines of shell before anything of rmtui runs: `module load cuda`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """workspace.toml, checked. Empty means not set."""

    model: str = ""
    data: str = ""
    processes: int | None = None
    cpu_runs: int = 1
    """Runs at once where there is no GPU."""
    stop_grace: int = 90
    """Seconds that a stopped run has for its checkpoint before it is killed."""
    lang: str = ""
    theme: str = ""
    bell: bool = False
    on_finished: str = ""
    on_failed: str = ""
    on_stalled: str = ""
    accelerate_config: str = ""
    ascii: bool = False
    """Draw without braille and box characters."""
    index: str = ""
    """Where runs.sqlite is kept: `local`, or a folder of this host; empty: in the workspace, unless that is on a
    network file system."""
    launcher: str = ""
    """`slurm`: launches are jobs where they do not say otherwise."""
    slurm: SlurmSettings = field(default_factory=SlurmSettings)


@dataclass(frozen=True)
class Workspace:
    """A workspace that exists. Paths are absolute."""

    root: Path
    settings: Settings = field(default_factory=Settings)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def queue(self) -> Path:
        return self.root / "queue"

    @property
    def presets(self) -> Path:
        return self.root / "presets"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @cached_property
    def database(self) -> Path:
        """runs.sqlite beside presets/, or on a local file system of this host where the workspace cannot hold it, or
        `index` says so."""
        if not self.settings.index and not on_network(self.root) and os.access(self.root, os.W_OK):
            return self.root / "runs.sqlite"
        if (folder := self._local_folder()) is not None:
            return folder / "runs.sqlite"
        return self.state_dir / f"runs-{socket.gethostname()}.sqlite"  # no disk of its own: a file a host at least

    def _local_folder(self) -> Path | None:
        """A folder for the index on a disk of this host: the one that `index` names, the state folder unless HOME is
        shared by the hosts of a cluster, or a private one in /var/tmp or /tmp. None where there is none."""
        if self.settings.index not in ("", LOCAL):
            folder = Path(self.settings.index) / self._own_name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return folder
        if not on_network(self.state_folder()):
            return self.state_dir
        private = (base / f"rmtui-{os.geteuid()}" for base in LOCAL_BASES if not on_network(base))
        return next((base / self._own_name for base in private if _is_private(base, self._own_name)), None)

    @property
    def _own_name(self) -> str:
        """Of its folders elsewhere: its own, and a digest of its path."""
        return f"{self.root.name}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"

    def state_folder(self) -> Path:
        """Where `state_dir` is, made or not."""
        base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
        return base / "rmtui" / self._own_name

    @cached_property
    def state_dir(self) -> Path:
        """Local folder (0700) for what belongs to this machine alone: screen state, indexes of remote workspaces."""
        folder = self.state_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def path(self, text: str) -> Path:
        """A path as written in TOML: relative to the workspace, joined files each. A name on the hub stays as it is."""
        from trainer import hub, joined

        def whole(one: str) -> str:
            return one if hub.is_hub(one) else str(self.root / Path(one).expanduser())

        return Path(joined.each(text, self.root, whole))

    def as_written(self, text: str) -> str:
        """The other way: a path within the workspace as one writes it in TOML, anything else as it is."""
        for root in (self.root, self.root.resolve()):
            text = text.removeprefix(f"{root}/")
        return text


def open_workspace(path: Path) -> Workspace:
    """The workspace at `path`; UserError if the folder is none, or its workspace.toml is wrong."""
    root = Path(path).expanduser().absolute()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder", remedy=f"make a workspace with: rmtui init {path}")
    if not (root / SETTINGS_FILE).is_file() and not ((root / "runs").is_dir() and (root / "presets").is_dir()):
        raise UserError(
            f"{root} is not an rmtui workspace",
            f"it has no {SETTINGS_FILE}",
            f"go to a workspace, name one with -C DIR, or make one with: rmtui init {path}",
        )
    return Workspace(root, read_settings(root / SETTINGS_FILE))


def settings_stamp(root: Path) -> tuple[int, ...]:
    """By what a changed workspace.toml is known; empty where there is none."""
    try:
        facts = (root / SETTINGS_FILE).stat()
    except OSError:
        return ()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def renewed(ws: Workspace) -> Workspace:
    """The same workspace with the settings that its file holds now; UserError where that is wrong."""
    return replace(ws, settings=read_settings(ws.root / SETTINGS_FILE))


def create(path: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Workspace:
    """Make the folders, workspace.toml and the shipped presets; what is there already is kept as it is.

    `settings`: texts that a new workspace.toml sets (`model`, `data`).
    """
    root = Path(path).expanduser().absolute()
    try:
        for folder in (root, *(root / name for name in ("presets", "data/train", "data/val"))):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("runs", "queue"):
            (root / name).mkdir(exist_ok=True, mode=0o700)
        _write_new(root / SETTINGS_FILE, _settings_text(settings))
        _write_new(root / ".gitignore", "runs.sqlite*\nruns/\nqueue/\ntunes/\n")
        for preset in shipped_presets():
            if not (root / "presets" / preset.name).exists():
                shutil.copyfile(preset, root / "presets" / preset.name)
    except OSError as error:
        raise UserError(f"the workspace {root} was not made", str(error), "choose a folder you may write to") from error
    return open_workspace(root)


def _settings_text(settings: Mapping[str, str]) -> str:
    """The template with these lines in place of their comments."""
    text = _TEMPLATE
    for key, value in settings.items():
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"  # a JSON string is a TOML string
        text = re.sub(rf"(?m)^# {key} = .*$", line.replace("\\", r"\\"), text)
    return text


def shipped_presets() -> list[Path]:
    """A, B and C as they come with rmtui: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "shipped_presets", here.parent / "presets"):
        if found := sorted(folder.glob("*.toml")):
            return found
    raise UserError("the shipped presets are missing", f"{here} holds none", "install rmtui again", exit_code=1)


def read_settings(path: Path) -> Settings:
    """workspace.toml → Settings; UserError names every wrong key at once. A missing file gives the defaults."""
    try:
        document = tomli.loads(read_plain(path, LARGEST_SETTINGS).decode("utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error), "fix that line, or delete the file") from error
    slurm = document.pop("slurm", {})
    problems = list(_problems(document, Settings, ""))
    if isinstance(index := document.get("index", ""), str) and index not in ("", LOCAL) and not index.startswith("/"):
        problems.append(f"index = {index!r} is neither {LOCAL} nor the whole path of a folder")
    if isinstance(slurm, dict):
        problems += _problems(slurm, SlurmSettings, "slurm.")
    else:
        problems.append("slurm is not a table: write [slurm]")
    if (launcher := document.get("launcher", "")) not in ("", "slurm"):
        problems.append(f"launcher = {launcher!r} is not known (slurm, or leave it out)")
    if problems:
        raise UserError(f"{path} is wrong", "; ".join(problems), "fix or remove these lines")
    return Settings(**document, slurm=SlurmSettings(**slurm))


def _problems(document: Mapping[str, object], kind: type[Settings | SlurmSettings], prefix: str) -> Iterator[str]:
    known = {item.name: str(item.type) for item in fields(kind)}
    for name, value in document.items():
        key = f"{prefix}{name}"
        if name not in known:
            yield f"{key} is not a setting (known: {', '.join(known)})"
        elif known[name].startswith("list"):
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                yield f"{key} = {value!r} is not a list of texts"
        elif known[name].startswith("int"):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                yield f"{key} = {value!r} is not a whole number above 0"
        elif type(value).__name__ != known[name]:
            yield f"{key} = {value!r} is not {'true or false' if known[name] == 'bool' else 'text'}"


def _write_new(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, "utf-8")


def _is_private(base: Path, name: str) -> bool:
    """Make a folder for this user in a place where everybody may write; false where somebody else made it before."""
    try:
        base.mkdir(exist_ok=True, mode=0o700)
        facts = base.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
            return False
        (base / name).mkdir(exist_ok=True, mode=0o700)
    except OSError:
        return False
    return True


@lru_cache(maxsize=64)
def on_network(path: Path) -> bool:
    """Whether `path` is on a network or FUSE file system (Linux; elsewhere False)."""
    return file_system(path) in _NETWORK or file_system(path).startswith("fuse.")


def on_disk(path: Path) -> bool:
    """Whether `path` is on a file system that one kernel alone can have mounted, and that outlives it."""
    return file_system(path) in _DISKS


def file_system(path: Path) -> str:
    """Type of the file system that holds `path` (`ext4`, `nfs4`), "" where it is not known."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return ""
    best, kind = "", ""
    target = f"{path.resolve()}/"
    for line in mounts.splitlines():
        _, point, name, *_ = line.split(" ")
        point = point.encode().decode("unicode_escape")
        if len(point) >= len(best) and target.startswith(point.rstrip("/") + "/"):
            best, kind = point, name
    return kind
