"""Reading spec.toml: the [config] table (or the whole document), and what the launch promised. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tomli

from trainer import config as options
from trainer import hub, joined, mixture
from trainer.config import Problem, TrainConfig


class Refused(ValueError):
    """A mistake that a person can fix: printed verbatim, exit code 2, no traceback."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked configuration with what else the trainer reads from spec.toml."""

    path: Path
    config: TrainConfig
    processes: int | None
    """The processes that the launch was to start; None where the file does not say."""
    warnings: tuple[Problem, ...]
    name: str = ""
    """The run's name when it was launched."""


def read(path: Path, init_from: Path | None = None, resuming: bool = False) -> Spec:
    """spec.toml → Spec; `init_from` of the command line comes before the file's. Raises Refused with every problem at
    once, a line each."""
    try:
        document = tomli.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; name the spec.toml of a run, or a file of options") from None
    except ValueError as error:
        raise Refused(f"{path}: not TOML: {error}") from None
    given = document.get("config", document)
    if not isinstance(given, dict):
        raise Refused(f"{path}: config is not a table; write [config] above the options")
    problems = options.check(given, path.name)
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        config = absolute(
            with_start(options.make(options.flatten(given)), init_from, document.get("launch", {}).get("init_from", ""))
        )
        found = options.check_inputs(config, path.name, resuming)
        problems += [problem for problem in found if problem.severity != "error"]
        errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise Refused("\n".join(map(str, errors)))
    processes = document.get("launch", {}).get("processes")
    return Spec(path, config, processes, tuple(problems), str(document.get("name", "")))


def with_start(config: TrainConfig, given: Path | None, launched: str) -> TrainConfig:
    """The configuration with the weights to start from: as `given`, else its own, else as `launched` by an older
    version, under [launch]."""
    return replace(config, init_from=str(given or config.init_from or launched))


def absolute(config: TrainConfig) -> TrainConfig:
    """Paths relative to the current folder → absolute ones, which later processes find from wherever they start."""
    files = config.data
    here = replace(
        files,
        train=_absolute(files.train),
        val=_absolute(files.val),
        extra_val={name: _absolute(path) for name, path in files.extra_val.items()},
        test=_absolute(files.test),
        source=[mixture.moved(one, _absolute(one.path)) for one in options.sources_of(files)],
    )
    model = _absolute(config.model) if Path(config.model).is_dir() else config.model
    return replace(config, data=here, model=model, init_from=_absolute(config.init_from))


def _absolute(path: str) -> str:
    def whole(one: str) -> str:
        return one if hub.is_hub(one) else str(Path(one).expanduser().absolute())

    return joined.each(path, Path(), whole) if path else path


def check_world_size(spec: Spec, world_size: int) -> None:
    """`accelerate launch --cpu --num_processes 2` silently starts one process; a run must not go on with fewer."""
    if spec.processes is not None and spec.processes != world_size:
        raise Refused(
            f"{spec.path.name}: launch.processes is {spec.processes}, but {world_size} started; "
            "launch through rmtui, or with accelerate's --multi_gpu and --num_processes "
            "(and ACCELERATE_USE_CPU=true on CPUs)"
        )
