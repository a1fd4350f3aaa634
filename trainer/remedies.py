"""What to do after an error of torch, CUDA or a communication library: a line beside the error's own. No torch."""

from __future__ import annotations

REMEDIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("device-side assert", "device assert"),
        "an index is out of range, a token id beyond the model's vocabulary as a rule: does the tokenizer belong to "
        "the model? With --devices cpu the same run names the place",
    ),
    (
        ("driver on your system is too old", "driver version is insufficient", "error 803", "error 804"),
        "the NVIDIA driver is older than this torch wants: update the driver, or install a torch for its CUDA "
        "(nvidia-smi names the version; https://pytorch.org/get-started/previous-versions)",
    ),
    (
        ("no kernel image is available", "is not compatible with the current pytorch installation"),
        "this torch was not built for this card: install a build that was (a newer torch for a newer card, an older "
        "CUDA build for an older one)",
    ),
    (
        (
            "found no nvidia driver",
            "no cuda gpus are available",
            "no cuda-capable device",
            "error 802",
            "invalid device",
        ),
        "CUDA sees no such GPU: compare nvidia-smi with CUDA_VISIBLE_DEVICES; on NVSwitch machines the service "
        "nvidia-fabricmanager has to run; in a container start it with --gpus all",
    ),
    (
        ("devices are busy or unavailable", "device(s) is/are busy", "exclusive"),
        "another process holds the GPU, or the card is in exclusive mode: rmtui doctor and nvidia-smi name the "
        "process; choose another card with --devices",
    ),
    (
        ("uncorrectable ecc", "fallen off the bus", "gpu is lost", "error 79"),
        "the card reports a fault of its own: see dmesg for Xid errors; choose another with --devices, and resume",
    ),
    (
        ("illegal memory access", "misaligned address", "unspecified launch failure", "illegal instruction"),
        "resume; if it comes back at the same step, try --set unpadded=false, and CUDA_LAUNCH_BLOCKING=1 names the "
        "kernel; if it comes at other steps or for other programs too, check the card (dmesg, nvidia-smi -q -d ECC)",
    ),
    (
        ("does not have a deterministic implementation",),
        "this operation has no deterministic kernel on a GPU: --set deterministic=false",
    ),
    (
        ("same dtype", "expected scalar type", "found dtype", "to have the same type", "bfloat16 is not supported"),
        "this kernel does not take two number formats at once: try --set mixed_precision=no, or on GPUs --set "
        "unpadded=false; please report it with the lines above",
    ),
    (
        ("libcudnn", "cudnn_status", "cudnn error", "cudnn frontend"),
        "cuDNN failed: it has to be the one that came with torch (unset LD_LIBRARY_PATH, reinstall torch)",
    ),
    (
        ("cublas_status_not_initialized", "cusolver_status", "cublas_status_alloc"),
        "cuBLAS could not start, for lack of GPU memory as a rule: a smaller batch_size, or end what else uses the "
        "card",
    ),
    (
        ("cublas_status",),
        "a matrix product failed: NaN or a wrong size before it, or a damaged driver; CUDA_LAUNCH_BLOCKING=1 names the "
        "place; if it comes back, try --set mixed_precision=no",
    ),
    (
        ("watchdog caught collective", "collective operation timeout", "timed out waiting", "wait timeout"),
        "a rank timed out waiting for another: the first error is in another rank's log (rmtui logs RUN --rank N); "
        "where there is none, one of them was slow or hung",
    ),
    (
        ("nccl",),
        "NCCL failed between the GPUs: NCCL_DEBUG=INFO rmtui launch … says where; in a container give it --shm-size=1g "
        "or --ipc=host; NCCL_P2P_DISABLE=1 for cards that cannot talk directly; or train with --procs 1",
    ),
    (
        ("gloo", "connection reset by peer", "connection refused"),
        "the ranks could not talk: GLOO_SOCKET_IFNAME=lo on one machine where its name resolves wrongly; if a rank "
        "died, its log has the reason",
    ),
    (("eaddrinuse", "address already in use"), "a port is taken: launch again, which takes another"),
    (
        ("bus error", "/dev/shm"),
        "shared memory is too small: in a container start it with --shm-size=1g or --ipc=host",
    ),
    (
        ("cuda error", "cuda_error", "cuda driver error"),
        "resume; CUDA_LAUNCH_BLOCKING=1 in the environment of the launch names the operation; rmtui doctor looks at "
        "the machine",
    ),
)
"""(words of the error in lower case, what to do), the narrower before the wider."""


def first_line(error: BaseException) -> str:
    """What an error says first, in a line that fits among others."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def remedy_for(error: BaseException) -> str:
    """What to do, or nothing where the error is not one of these. Only errors that libraries raise are looked at: the
    trainer's own say what to do themselves."""
    if not isinstance(error, (RuntimeError, OSError, ImportError)):
        return ""
    said = f"{type(error).__name__}: {error}".lower()
    return next((remedy for words, remedy in REMEDIES if any(word in said for word in words)), "")
