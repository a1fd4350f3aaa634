"""What a launch would do: the whole configuration, every problem at once, the exact line and the derived numbers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rmtui import presets
from rmtui.datacheck.how_read import describe
from rmtui.errors import UserError, install
from rmtui.launch import command, training_stack
from rmtui.launch.command import Command
from rmtui.operations import check, estimates, hub_revisions, linked_start, pair_counts, placement
from rmtui.operations.hub_revisions import Tell, silent
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.linked_start import LinkedStart
from rmtui.operations.plan_draft import PlanDraft
from rmtui.presets import Preset
from rmtui.runs.folder import checked_name, run_folders
from rmtui.translation import colon, spoken, tr
from rmtui.workspace import Workspace
from trainer import config as options
from trainer import held_out, hub, joined, mixture, pairs
from trainer.config import Problem, TrainConfig
from trainer.containers import stem_of
from trainer.estimate import Derived, Sizes, derive
from trainer.precision import AUTO, format_precision

FILES = ("data.train", "data.val")
CLUSTER_SAVE_MINUTES = 15.0
"""Minutes between checkpoints of a job whose preset does not say."""
NAMES_LOOKED_AT = 300
"""Newest runs among which a fresh name is numbered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be launched. Nothing is on disk yet."""

    spec: Mapping[str, Any]
    """spec.toml without id, created and provenance: name, preset, data, [config], [trainer], [launch]."""
    problems: tuple[Problem, ...]
    command: Command
    """The accelerate line with `RUN` for the run folder, and what is set in its environment."""
    derived: Derived | None = None
    """Steps, warm-up, effective batch; None while the configuration or the data is wrong."""
    sizes: Sizes | None = None
    """Parameters and memory; None where the model's folder does not tell."""
    precision: str = ""
    """The number format it will compute in, and why."""
    tags: tuple[str, ...] = ()
    readings: Mapping[str, pairs.PairReading] = field(default_factory=dict)
    """Option → how its file is read: layout, container, which field is taken for what."""
    stem: str = ""
    """Of a name that nobody chose: it is numbered when the run folder is made."""
    script: str = ""
    """What is submitted to a cluster, as it will be with `RUN` for the run folder."""
    place: str = ""
    """What is asked of the cluster, in words."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity != "error")

    @property
    def how_read(self) -> tuple[str, ...]:
        """Sentences on the data files that are not plain pairs in JSON lines, in the language that is spoken: layout,
        and which field is what."""
        foreign = {key: one for key, one in self.readings.items() if not one.direct or one.sources}
        return tuple(tr("{} is read as {}").format(key, describe(one, spoken())) for key, one in foreign.items())

    @property
    def line(self) -> str:
        """The command as one would type it, environment first."""
        return self.command.line


def plan(ws: Workspace, request: LaunchRequest, *, check_data: bool = True, tell: Tell = silent) -> Plan:
    """Everything a launch would do. `check_data=False` leaves the data check out, and asks no hub (forms want both on
    launch only). `tell` hears what is printed while data is fetched from the hub."""
    chosen, trouble = _preset(ws, request.preset)
    draft = PlanDraft(ws, request.cwd or ws.root, str(chosen.path), options.flatten(chosen.config), trouble)
    if not chosen.checked:
        draft.problems += options.check(options.nest(draft.flat), draft.source)
    _override(draft, request.overrides)
    if request.cluster is not None:  # a job can end at any moment
        draft.flat.setdefault("save_minutes", CLUSTER_SAVE_MINUTES)
    data_name = _choose_data(draft, request)
    hub_revisions.choose(draft, (*FILES, "data.test"), tell if check_data else None)
    start = _choose_start(draft)
    _choose_model(draft, request.model, start.base if start else "")
    built = _build(draft)
    launch = _place(draft, request, built.mixed_precision)
    stem = "" if request.name else "-".join(filter(None, (data_name or "run", chosen.name)))
    spec = {
        "name": checked_name(request.name) if request.name else fresh_name(ws, stem),
        "preset": chosen.name,
        "data": data_name,
        "config": options.to_document(built),
        "trainer": {"command": list(command.TRAINER), "schema": options.SCHEMA_VERSION},
        "launch": launch,
        **({"starts_from": start.run} if start and start.run else {}),
    }
    missing = training_stack.missing()
    derived = _check_inputs(draft, built, int(launch["processes"]), check_data and not missing)
    if missing:  # nothing else can be fixed before it
        what = f"it is not installed here: {', '.join(missing)} missing"
        draft.problems = [Problem("the training stack", what, install("train"))]
    tags = tuple(map(checked_name, request.tags))
    if request.cluster is not None:
        return _on_cluster(draft, built, Plan(spec, (), Command(()), derived, None, "", tags, draft.readings, stem))
    job = command.job_of(spec, launch["devices"])
    line, resolved = command.command(job, "RUN", "RUN/attempt-1"), job.mixed_precision
    sizes = estimates.model_sizes(dataclasses.replace(built, mixed_precision=resolved))
    precision = format_precision(built.mixed_precision, resolved, launch["processes"] * (launch["device"] == "gpu"))
    return Plan(spec, tuple(draft.problems), line, derived, sizes, precision, tags, draft.readings, stem)


def _on_cluster(draft: PlanDraft, built: TrainConfig, plan: Plan) -> Plan:
    """The same for a job of a cluster, whose devices are not here to be asked."""
    from rmtui.launch.slurm import allocation, script
    from rmtui.operations import cluster

    device = plan.spec["launch"]["device"]
    resolved, sizes = cluster.precision_on(built, device), cluster.sizes_on(built, device)
    wanted = cluster.with_memory(allocation.of(plan.spec["launch"]), sizes)
    wanted, trouble = cluster.with_warning(draft.ws, wanted, built)
    draft.problems += trouble
    precision = format_precision(built.mixed_precision, resolved, 0)
    if built.mixed_precision == AUTO and resolved == "bf16":
        precision = "bf16 (auto: where the GPUs of its nodes have it)"
    try:
        text = script.render(draft.ws, wanted, str(plan.spec["name"]), "RUN", 1)
    except UserError as error:
        draft.problems.append(Problem("on", f"{error.what} ({error.why})", error.remedy))
        text = ""
    return dataclasses.replace(
        plan,
        spec={**plan.spec, "launch": dataclasses.asdict(wanted)},
        problems=tuple(draft.problems),
        command=Command(("sbatch", "RUN/attempt-1/job.sbatch")),
        sizes=sizes,
        precision=precision,
        script=text,
        place=cluster.describe(wanted),
    )


def _place(draft: PlanDraft, request: LaunchRequest, precision: str) -> dict[str, Any]:
    """The [launch] table: processes and devices."""
    if request.cluster is not None:
        from rmtui.operations import cluster

        grace = draft.ws.settings.stop_grace
        wanted, trouble = cluster.choose(
            draft.ws, request.cluster, procs=request.procs, devices=request.devices, grace=grace
        )
        file, missing = placement.accelerate_file(draft.ws, draft.cwd, draft.source, request.accelerate_config)
        draft.problems += [*trouble, *missing]
        return {**dataclasses.asdict(wanted), "accelerate_config": file}
    launch, trouble = placement.choose(
        draft.ws,
        draft.cwd,
        draft.source,
        procs=request.procs,
        devices=request.devices,
        accelerate_config=request.accelerate_config,
        mixed_precision=precision,
    )
    draft.problems += trouble
    return launch


def _preset(ws: Workspace, preset: Preset | str) -> tuple[Preset, list[Problem]]:
    """The preset, or an empty one and what is wrong with it, so that the other problems are reported as well."""
    if isinstance(preset, Preset):
        return preset, []
    try:
        return presets.find(ws, preset), []
    except UserError as error:
        what = f"{error.what}: {error.why}" if error.why else error.what
        return Preset(preset, "", "", ws.presets, {}, {}, ""), [Problem("preset", what, error.remedy)]


def _override(draft: PlanDraft, overrides: Mapping[str, str]) -> None:
    """`--set key=value`, and the fields of a form."""
    for key, text in overrides.items():
        option = options.OPTIONS.get(key)
        if option is None:
            draft.problems += options.check(options.nest({key: text}), "--set")
            continue
        try:
            value = options.parse_text(option, text)
        except ValueError as error:
            what, _, remedy = str(error).removeprefix(f"{key}: ").rpartition("; ")
            draft.wrong(key, what or str(error), remedy or "see `rmtui presets --options`", "--set")
            continue
        draft.problems = [problem for problem in draft.problems if problem.key != key]
        draft.problems += options.check_value(option, value, "--set")
        draft.flat[key], draft.sources[key] = value, "--set"


def _choose_data(draft: PlanDraft, request: LaunchRequest) -> str:
    """Fill in the data files; returns the data set's name for lists.

    A file that was `named` (option → path, or a key that an override gave) counts before the set of `--data`, that
    before the preset's own files, and the usual set fills what is still empty.
    """
    ws, flat, data = draft.ws, draft.flat, request.data
    named = {"--train": request.train, "--val": request.val}
    for key in (*FILES, "data.test"):
        if isinstance(flat.get(key), str) and flat[key]:
            flat[key] = str(ws.path(flat[key]))
    for option, path in named.items():
        key = f"data.{option.removeprefix('--')}"
        if path:
            flat[key], draft.sources[key] = _absolute(draft.cwd, path), option
    if flat.get("data.source") and (request.train or data):
        flat["data.source"] = []
    wanted, found = data or request.usual_data or ws.settings.data, dict[str, str]()
    empty = [key for key in FILES if not flat.get(key) or (data and draft.sources.get(key) not in (*named, "--set"))]
    if flat.get("data.source"):
        empty = [key for key in empty if key != "data.train"]
    if wanted:
        try:
            found = dict(zip(FILES, map(str, pairs.find_data(ws.root, wanted)), strict=True))
        except FileNotFoundError as error:
            if "data.train" in empty or (empty and not request.split):
                remedy = "name a data set that is there, or give --train and --val"
                filled = "fill in one of data/, or data.train and data.val in the form"
                draft.wrong("data", str(error), remedy, "--data", form_remedy=filled)
    if data and not empty:
        draft.wrong(
            "data", f"{data} is not used: both files are named", "name the set or the files", "--data", "warning"
        )
    if not flat.get("data.test") and found and (test := pairs.find_test(ws.root, wanted)):
        flat["data.test"], draft.sources["data.test"] = str(test), f"data set {wanted}"
    for key in filter(found.__contains__, empty):
        flat[key], draft.sources[key] = found[key], "--data" if data else f"data set {wanted}"
    extra = {key: str(ws.path(path)) for key, path in dict(flat.get("data.extra_val") or {}).items()}
    extra |= {key: _absolute(draft.cwd, path) for key, path in request.extra_val.items()}
    flat["data.extra_val"] = extra
    draft.sources |= {f"data.extra_val.{key}": f"--val {key}" for key in request.extra_val}
    if flat.get("data.source"):
        return _choose_sources(draft, request)
    train = str(flat.get("data.train") or "")
    name = wanted if not train or train == found.get("data.train") else _short_name(held_out.parse(train)[0])
    if request.split:
        _split(draft, request, train)
    return name


def _choose_sources(draft: PlanDraft, request: LaunchRequest) -> str:
    """Files of a mixture become absolute; a training file that is named on the command line goes before it."""
    flat, base = draft.flat, draft.cwd if draft.sources.get("data.source") == "--set" else draft.ws.root
    if flat.get("data.train"):
        draft.wrong("data.source", "data.train is set as well", "remove one of the two")
    try:
        found = [mixture.parse(text) for text in flat["data.source"]]
    except (ValueError, AttributeError):  # refused as a value already
        return ""
    found = [replace(one, path=_absolute(base, one.path)) for one in found]
    if request.split and (sides := _sides(draft, request, [one.path for one in found])):
        found = [replace(one, path=path) for one, path in zip(found, sides[0], strict=True)]
        flat["data.val"], draft.sources["data.val"] = joined.join(sides[1]), "--split"
    flat["data.source"] = list(map(str, found))
    return "+".join(_short_name(held_out.parse(one.path)[0]) for one in found)


def _absolute(base: Path, path: str) -> str:
    """A file below `base`, or several joined; a name on the hub stays as it is."""

    def whole(one: str) -> str:
        return one if hub.is_hub(one) else str((base / Path(one).expanduser()).resolve())

    return joined.each(path, base, whole)


def _short_name(path: Path) -> str:
    """A data file's name in names of runs: without suffixes, of a data set on the hub without its owner."""
    return re.split(r"[:@#]", path.name)[0] if hub.is_hub(path) else stem_of(path) or path.stem


def _split(draft: PlanDraft, request: LaunchRequest, train: str) -> None:
    """Hold a part of the training prompts out as validation: both files become parts of the one."""
    if not train:
        draft.wrong("data.train", "there is no file to split", "give --train FILE with --split", "--split")
    elif sides := _sides(draft, request, [train]):
        for key, (path,) in zip(FILES, sides, strict=True):
            draft.flat[key], draft.sources[key] = path, "--split"


def _sides(draft: PlanDraft, request: LaunchRequest, files: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The training and the held-out part of every file; None, with what is wrong, where that is not to be had. The same
    prompts are held out of all of them."""
    try:
        share, seed = float(request.split), int(request.split_seed or held_out.SEED)
    except ValueError:
        share, seed = 0.0, 0
    if not 0 < share <= held_out.MOST or not 0 <= seed < 2**32:
        draft.wrong("data.val", f"{request.split!r} is not a share", "write it like --split 0.05", "--split")
    elif request.val:
        draft.wrong("data.val", "a validation file is named as well", "give --val or --split", "--split")
    elif parts := [file for file in files if held_out.parse(file)[1]]:
        draft.wrong("data.train", f"{parts[0]} is a part of a split already", "name the whole file", "--split")
    else:
        train, val = held_out.Part(share, seed, "train"), held_out.Part(share, seed, "val")
        return [held_out.view(file, train) for file in files], [held_out.view(file, val) for file in files]
    return None


def _choose_start(draft: PlanDraft) -> LinkedStart | None:
    """The folder that `init_from` means; None where none is asked for, or it is not found."""
    given, method = draft.flat.get("init_from"), draft.flat.get("method")
    if not isinstance(given, str) or not given:
        return None
    try:
        found = linked_start.find(draft.ws, draft.cwd, given, str(method or TrainConfig().method))
    except UserError as error:
        what = f"{error.what} ({error.why})" if error.why else error.what
        draft.wrong("init_from", what, error.remedy, draft.sources.get("init_from", ""))
        return None
    draft.flat["init_from"] = str(found.folder)
    if found.run and found.base == str(found.folder):
        what = f"the new run will always need {found.folder} as its base, and rmtui rm {found.run} would delete it"
        remedy = f"to avoid this: rmtui merge {found.run} DIR, then start from DIR"
        draft.wrong("init_from", what, remedy, draft.sources.get("init_from", ""), "warning")
    return found


def _choose_model(draft: PlanDraft, model: str, of_start: str) -> None:
    """A folder becomes absolute, also one that is missing below a folder that is there; else it is a hub name. The base
    `of_start`, which the weights to start from need, comes before the workspace's."""
    base = draft.cwd if model else draft.ws.root
    named = "--model" if model else draft.source if draft.flat.get("model") else ""
    usual = "workspace.toml" if draft.ws.settings.model else ""
    draft.sources["model"] = named or ("init_from" if of_start else usual)
    text = model or str(draft.flat.get("model") or of_start or draft.ws.settings.model)
    folder = base / Path(text).expanduser()
    meant = folder.exists() or (len(Path(text).parts) > 1 and (base / Path(text).parts[0]).is_dir())
    draft.flat["model"] = str(folder.resolve()) if text and meant else text


def _build(draft: PlanDraft) -> TrainConfig:
    """The configuration; a wrong value is left out, so that files and model are looked at in the same go."""
    wrong = {problem.key for problem in draft.problems if problem.severity == "error"}
    return options.make({k: value for k, value in draft.flat.items() if k in options.OPTIONS and k not in wrong})


def _check_inputs(draft: PlanDraft, built: TrainConfig, processes: int, check_data: bool) -> Derived | None:
    covered = _reported(draft)
    for problem in options.check_inputs(built, draft.source):
        if problem.key not in covered:
            draft.problems.append(dataclasses.replace(problem, source=draft.sources.get(problem.key, draft.source)))
    named = _training_files(built)
    trains = list(named.values())
    if not all(path and pairs.is_data(path) for path in (*trains, built.data.val)):
        return None
    places = [held_out.parse(file)[0] for path in (*trains, built.data.val) for file in joined.pieces(path)]
    if not all(map(hub.is_fetched, filter(hub.is_hub, places))):
        return None
    left_out = _check_data(draft, built, list(map(Path, trains)), _vals(built)) if check_data else {}
    draft.readings = dict(_readings(built))
    count = pair_counts.drawn(built, left_out) if named.keys() <= draft.readings.keys() else 0
    return derive(built, count, processes) if count and processes > 0 else None


def _reported(draft: PlanDraft) -> set[str]:
    """Keys that need no second complaint: a data set that was not found, or a wrong mixture, names no files either."""
    keys = {problem.key for problem in draft.problems if problem.severity == "error"}
    if "data.source" in keys:
        keys.add("data.train")
    return keys | {"data.train", "data.val"} if "data" in keys else keys


def _training_files(built: TrainConfig) -> dict[str, str]:
    """Option → training file; several of a mixture."""
    sources = {f"data.source[{place}]": one.path for place, one in enumerate(options.sources_of(built.data))}
    return sources or {"data.train": built.data.train}


def _vals(built: TrainConfig) -> list[Path]:
    return [Path(path) for path in joined.pieces(built.data.val)]


def _check_data(draft: PlanDraft, built: TrainConfig, trains: Sequence[Path], vals: Sequence[Path]) -> dict[Path, int]:
    """Put what the check finds among the problems; returns how many pairs of a training file are left out for their
    length, where every pair was looked at."""
    left_out: dict[Path, int] = {}
    model = Path(built.model)
    whole = model.is_dir() and not any(one.key == "model" and one.severity == "error" for one in draft.problems)
    found = check.before_launch(
        trains,
        vals,
        model=model if whole else None,
        max_length=built.max_length,
        store=_store(draft.ws),
        fields=built.data.fields,
    )
    for one in found:
        val = one.path if one.path in vals else vals[0]
        key = "data.val" if one.path == val else f"data.source: {one.path.name}" if trains[1:] else "data.train"
        said = one.message(spoken())
        what = said if one.line is None else f"{tr(f'line {one.line}')}{colon()}{said}"
        remedy = f"see rmtui check {' '.join(map(str, (*trains, val)))}"
        filled = "D in the list of runs checks the data"
        draft.problems.append(Problem(key, what, remedy, severity=one.severity, form_remedy=filled))
        if one.path == val or built.overlong != "drop" or one.kind != "truncated" or not one.first.figures["dropped"]:
            continue
        if one.first.figures["step"] == 1:
            left_out[one.path] = int(one.first.figures["dropped"])
        else:
            counted = "the planned pairs and steps still count the pairs that are too long: there will be fewer"
            draft.problems.append(
                Problem("overlong", counted, "raise max_length, or set overlong = cut", "", "warning")
            )
    return left_out


def _store(ws: Workspace) -> Path | None:
    """Where checks of data are remembered; None where this machine lets nothing be kept."""
    try:
        return ws.state_dir
    except OSError:
        return None


def _readings(built: TrainConfig) -> Iterator[tuple[str, pairs.PairReading]]:
    """How each data file is read; what cannot be read is left out, and the check of the data says why."""
    files = {**_training_files(built), "data.val": built.data.val}
    for key, path in (files | {f"data.extra_val.{name}": path for name, path in built.data.extra_val.items()}).items():
        try:
            yield key, pairs.recognise(path, built.data.fields)
        except OSError:
            continue


def fresh_name(ws: Workspace, stem: str) -> str:
    """`helpful-A-3`: the first number after those in use among the newest runs."""
    used = [0]
    pattern = re.compile(rf'^name = "{re.escape(stem)}-(\d+)"$', re.MULTILINE)
    for run in list(run_folders(ws.runs))[-NAMES_LOOKED_AT:]:
        for name in ("spec.toml", "meta.toml"):
            path = run.path / name
            text = path.read_text("utf-8", "replace") if path.is_file() else ""
            used += map(int, pattern.findall(text))
    return f"{stem}-{max(used) + 1}"
