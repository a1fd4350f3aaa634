"""What the driver tells of GPUs, through the real pynvml with its answers in place of a driver's."""

from __future__ import annotations

import inspect
from pathlib import Path

import pynvml
import pytest

from rmtui.launch import gpus as machine
from rmtui.launch import slots
from rmtui.operations import plan
from rmtui.operations.launch_request import LaunchRequest
from rmtui.runs.queue_tickets import Needs


class Driver:
    """A machine as NVML shows it: a cut A100 (devices in places 0 and 2), a whole one, one that fell off the bus."""

    def __init__(self):
        self.parts = {0: "MIG-aaaa", 2: "MIG-bbbb"}
        self.pids = {"MIG-bbbb": [4711]}

    def nvmlInit(self):
        self.open = True

    def nvmlShutdown(self):
        self.open = False

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        if index == 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return f"GPU-{index}"

    def nvmlDeviceGetMigMode(self, device):
        if device == "GPU-1":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        if index not in self.parts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.parts[index]

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA A100-SXM4-40GB" + " MIG 1g.5gb" * handle.startswith("MIG")

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        return pynvml.c_nvmlMemory_t(total=5 << 30)

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        if handle.startswith("MIG"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return (8, 0)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [pynvml.c_nvmlProcessInfo_v2_t(pid=pid) for pid in self.pids.get(handle, [])]


@pytest.fixture
def driver(monkeypatch, tmp_path):
    made = Driver()
    for name in [name for name in dir(Driver) if name.startswith("nvml")]:
        mine, theirs = getattr(made, name), getattr(pynvml, name)
        needed = [p for p in inspect.signature(theirs).parameters.values() if p.default is p.empty]
        assert len(needed) <= len(inspect.signature(mine).parameters), f"{name} is called as pynvml has it"
        monkeypatch.setattr(pynvml, name, mine)
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "nvidiactl")
    return made


def test_a_cut_gpu_counts_as_its_parts_and_a_lost_one_hides_no_other(driver):
    found = machine.gpus()
    assert [(gpu.index, gpu.uuid, gpu.mig) for gpu in found] == [
        ("0:0", "MIG-aaaa", True),
        ("0:2", "MIG-bbbb", True),
        ("1", "GPU-1", False),
    ]
    assert [gpu.pids for gpu in found] == [(), (4711,), ()]
    assert found[0].memory == 5 << 30 and found[0].name.endswith("1g.5gb")
    assert {gpu.capability for gpu in found} == {(8, 0)}
    assert not driver.open


def test_no_driver_no_gpus(driver, monkeypatch):
    monkeypatch.setattr(machine, "DRIVER", Path("/nowhere"))
    assert machine.gpus() == []


def test_a_driver_that_does_not_answer_is_none(driver, monkeypatch):
    def broken():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", broken)
    assert machine.gpus() == []


@pytest.mark.parametrize(
    ("said", "uuids"),
    [
        ("MIG-bbbb", ["MIG-bbbb"]),
        ("GPU-1,MIG-aa", ["GPU-1", "MIG-aaaa"]),
        ("0", ["MIG-aaaa"]),
        ("1", ["GPU-1"]),
        ("MIG-none,GPU-1", []),
    ],
)
def test_visible_devices_may_be_parts(driver, monkeypatch, said, uuids):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert [gpu.uuid for gpu in machine.visible(machine.gpus())] == uuids


def test_a_run_takes_a_free_part_and_shows_it_to_cuda_by_uuid(ws, driver):
    one = Needs("gpu", 1, (), ("MIG-aaaa", "MIG-bbbb"))
    taken = slots.take(ws, one)
    assert taken.devices == ("MIG-aaaa",), "somebody computes on the other"
    assert slots.take(ws, one) is None
    driver.pids["MIG-bbbb"] = []
    assert slots.take(ws, one).devices == ("MIG-bbbb",)


def test_several_processes_get_whole_gpus_or_a_plain_word(ws, driver, monkeypatch):
    def problems(**how):
        made = plan.plan(ws, LaunchRequest("A", model="m", **how), check_data=False)
        return made, [problem.what for problem in made.problems if problem.key == "processes"]

    alone, said = problems()
    assert alone.spec["launch"]["processes"] == 1 and not said, "one whole GPU, the parts do not count"
    _, said = problems(procs=2, devices="0:0,0:2")
    assert len(said) == 1 and "MIG devices" in said[0]
    part, said = problems(devices="0:2")
    assert not said and part.command.environment["CUDA_VISIBLE_DEVICES"] == "MIG-bbbb"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aaaa,MIG-bbbb")
    only_parts, said = problems()
    assert only_parts.spec["launch"]["processes"] == 1 and not said


@pytest.mark.parametrize(
    ("pids", "others"),
    [((7, 8), {"GPU-a": [8]}), ((7,), {}), ((8, 9), {}), ((), {})],
    ids=["shared", "alone", "pids of another namespace", "nobody yet"],
)
def test_who_else_computes_on_a_runs_gpus(pids, others):
    gpus = [machine.Gpu("0", "GPU-a", pids=pids), machine.Gpu("1", "GPU-b", pids=(11,))]
    assert machine.others_on(gpus, ["GPU-a"], {7}) == others
