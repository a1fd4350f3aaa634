"""Before a training starts: its name, model, data and processes, what is unusual, and the exact command."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.chrome import Label, in_language
from rmtui.app.feed import Failed
from rmtui.app.host import WorkspaceApp
from rmtui.app.jobs.launch_plan import Planned, plan_launch
from rmtui.app.presentation.hanging_indent import HangingRows, Row, row
from rmtui.app.widgets.palette import palette_of
from rmtui.app.widgets.path_input import PathInput
from rmtui.operations.launch_request import ClusterRequest, LaunchRequest
from rmtui.translation import tr
from trainer.pairs import data_sets

FIELDS = (("name", "name"), ("model", "model"), ("data", "data set"), ("procs", "processes"), ("tags", "tags"))
ON = ("on", "run on")
"""Where there is a Slurm."""
JOB_FIELDS = (
    *(("nodes", "nodes"), ("partition", "partition"), ("time", "time limit"), ("account", "account")),
    *(("chain", "chain"), ("sbatch", "sbatch")),
)
"""Where the run is to be a job of it."""
SLURM = "slurm"


class LaunchScreen(ModalScreen[LaunchRequest | None]):
    """Enter starts it, when nothing is wrong; tab goes through the fields; escape leaves."""

    CSS_PATH = "launch.tcss"
    BINDINGS = actions.bindings("launch")

    def __init__(self, request: LaunchRequest) -> None:
        super().__init__()
        self._request = request
        self._fields = (*FIELDS, ON, *JOB_FIELDS) if shutil.which("sbatch") else FIELDS
        self.planned: Planned | None = None
        self._starts = False
        """Enter was pressed before the plan was there."""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        assert isinstance(self.app, WorkspaceApp)
        self._rmtui = self.app
        sets = ", ".join(data_sets(self._rmtui.ws.root)) or tr("none in data/")
        processes, slurm = self._rmtui.ws.settings.processes, self._rmtui.ws.settings.slurm
        hints = {
            "on": tr("this machine; slurm: as a job"),
            "nodes": str(slurm.nodes or 1),
            "partition": slurm.partition or tr("the site's default"),
            "time": slurm.time or tr("as the partition allows; 8:00:00"),
            "account": slurm.account or tr("the site's default"),
            "chain": str(slurm.chain or tr("none; 3: further jobs, where requeue is forbidden")),
            "sbatch": tr("further options: qos=high mem=64G"),
            "name": tr("made from data and preset"),
            "model": tr("a folder or a hub name"),
            "data": self._request.usual_data or sets,
            "procs": f"{processes} (workspace.toml)" if processes else tr("visible GPUs, else 1"),
            "tags": tr("none; for example: night baseline"),
        }
        texts = {"name": self._request.name, "data": self._request.data, "tags": " ".join(self._request.tags)}
        texts["procs"] = str(self._request.procs or "")
        texts["model"] = self._request.model or self._request.overrides.get("model", "")
        if (cluster := self._request.cluster) is not None:
            texts |= {"on": SLURM, "partition": cluster.partition, "time": cluster.time, "account": cluster.account}
            texts |= {"nodes": str(cluster.nodes or ""), "sbatch": shlex.join(cluster.sbatch)}
            texts["chain"] = "" if cluster.chain is None else str(cluster.chain)
        with Vertical(classes="dialog"):
            for key, label in self._fields:
                with Horizontal(classes="field"):
                    yield Static(tr(label), classes="label")
                    text, hint = texts.get(key, ""), hints[key]
                    if key == "model":
                        yield PathInput(self._rmtui.ws.root, text, placeholder=hint, id=key)
                    else:
                        yield Input(text, placeholder=hint, id=key, compact=True, select_on_focus=False)
            with VerticalScroll(id="plan", can_focus=False):
                yield HangingRows(id="wrong")
                yield Label("working out the plan …", id="command")
                yield HangingRows(id="figures", classes="quiet")
            yield Static(tr("enter start   tab next field   pgdn more   esc back"), markup=False, classes="answers")

    def on_mount(self) -> None:
        self._show_job_fields()
        self._work_out()

    def _show_job_fields(self) -> None:
        """Those of a job, while the run is to be one."""
        shown = self._text("on").casefold() == SLURM
        self.set_class(shown, "-job")
        for key, _ in self._fields[len(FIELDS) + 1 :]:
            field = self.query_one(f"#{key}").parent
            assert field is not None
            field.display = shown

    def _text(self, key: str) -> str:
        """What a field holds; empty where it is not there."""
        return next((field.value.strip() for field in self.query(Input) if field.id == key), "")

    @on(Input.Changed)
    def _typed(self) -> None:
        self._starts = False
        self._show_job_fields()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(0.2, self._work_out)

    def request(self) -> LaunchRequest:
        """The request with what the fields hold."""
        text = {key: self._text(key) for key, _ in self._fields}
        procs = int(text["procs"]) if text["procs"].isdigit() else None
        tags = tuple(text["tags"].replace(",", " ").split())
        cluster = _cluster(self._request.cluster, text) if text.get("on", "").casefold() == SLURM else None
        others = {key: value for key, value in self._request.overrides.items() if key != "model"}
        return replace(
            self._request,
            overrides=others,
            name=text["name"],
            model=text["model"],
            data=text["data"],
            procs=procs,
            tags=tags,
            cluster=cluster,
            devices="" if self._request.cluster and not cluster else self._request.devices,
        )

    def _work_out(self) -> None:
        if wrong := self._wrong_place():
            self.planned = None
            self._show_wrong(row("", Text(wrong, palette_of(self).bad)))
            return
        request, rmtui = self.request(), self._rmtui
        rmtui.feed.ask(
            self, "plan", lambda: plan_launch(rmtui.ws, rmtui.feed.index, request, check_data=True), "launch"
        )

    def _wrong_place(self) -> str:
        """What is wrong with the fields of a cluster, which no option of the trainer checks."""
        on, nodes, chain, sbatch = map(self._text, ("on", "nodes", "chain", "sbatch"))
        if on.casefold() not in ("", SLURM):
            return f"run on: {on!r} is not known: leave it empty for this machine, or write slurm"
        if nodes and not (nodes.isdigit() and int(nodes)):
            return f"nodes: {nodes!r} is not a whole number above 0"
        if chain and not chain.isdigit():
            return f"chain: {chain!r} is not a number of jobs"
        try:
            shlex.split(sbatch)
        except ValueError as error:
            return f"sbatch: {sbatch!r} cannot be read: {error}"
        return ""

    @on(Planned)
    def _worked_out(self, message: Planned) -> None:
        self.planned = message
        palette = palette_of(self)
        self.query_one("#data", Input).placeholder = str(message.plan.spec["data"])
        if model := str(message.plan.spec["config"]["model"]):
            self.query_one("#model", Input).placeholder = self._rmtui.ws.as_written(model)
        changed = [f"{key} {text}" for key, text in message.request.overrides.items()]
        derived = [f"{tr(name)} {tr(text)}" for name, text in message.derived.items()]
        self.query_one("#figures", HangingRows).show_rows(
            [row("", in_language(Text(" · ".join(part)))) for part in (changed, derived) if part]
        )
        problems = [
            row("", Text(problem.in_form(), palette.bad if problem.severity == "error" else palette.warn))
            for problem in message.plan.problems
        ]
        self._show_wrong(
            *problems, *(row("", Text(formats.clean(line), palette.quiet)) for line in message.plan.how_read)
        )
        plan = message.plan
        shown = f"{plan.place}\n\n{plan.script}" if plan.script else plan.line
        self.query_one("#command", Label).show_text(shown)
        if self._starts:
            self.action_start()

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        message.stop()
        self.planned, self._starts = None, False
        self._show_wrong(*(row("", Text(line, palette_of(self).bad)) for line in str(message.error).splitlines()))

    def _show_wrong(self, *rows: Row) -> None:
        wrong = self.query_one("#wrong", HangingRows)
        wrong.display = bool(rows)
        wrong.show_rows([(lead, in_language(words)) for lead, words in rows])

    @on(Input.Submitted)
    def action_start(self) -> None:
        """Start, unless the plan has errors; where it is not that of the fields yet, as soon as it is."""
        if self._wrong_place():
            self._starts = False
            self.notify(tr("fix the fields in red first"), severity="error", timeout=4)
        elif self.planned is None or self.planned.request != self.request():
            self._starts = True
            self.query_one("#command", Label).show_text("working out the plan, then it starts …")
            self._work_out()
        elif self.planned.plan.errors:
            self._starts = False
            self.notify(tr("fix the fields in red first"), severity="error", timeout=4)
        else:
            self.dismiss(self.request())

    def action_scroll_plan(self, by: int) -> None:
        self.query_one("#plan").scroll_page_down() if by > 0 else self.query_one("#plan").scroll_page_up()

    def action_leave(self) -> None:
        self.dismiss(None)


def _cluster(before: ClusterRequest | None, text: Mapping[str, str]) -> ClusterRequest:
    """What the fields say of a job, over what they do not hold."""
    nodes, chain = (int(text[key]) if text[key].isdigit() else None for key in ("nodes", "chain"))
    return replace(
        before or ClusterRequest(),
        nodes=nodes or None,
        partition=text["partition"],
        time=text["time"],
        account=text["account"],
        chain=chain,
        sbatch=tuple(option.removeprefix("--") for option in shlex.split(text["sbatch"])),
    )
