"""What the metrics of a run mean and what to try next: the verdict, three steps, the worst readings, their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message

from rmtui.app import actions
from rmtui.app.base import Done
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.presentation.advice_text import AdviceText
from rmtui.app.presentation.hanging_indent import HangingRows, row
from rmtui.app.presentation.verdict import verdict_text
from rmtui.app.routes import AgainForm, Data
from rmtui.app.run_commands import RunCommands
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.i18n import title, translate
from rmtui.runs.model import Run

if TYPE_CHECKING:
    from rmtui.documents.guide import AdviceDocument, AdviseDocument


@dataclass
class Advised(Message):
    """The document of `advise --json`."""

    document: AdviseDocument


class AdviceScreen(RunCommands):
    """A line each, with the reasons of the one under the cursor beside or below; enter takes the first step."""

    CSS_PATH = "advice.tcss"
    BINDINGS = actions.bindings("back", "advice")
    AUTO_FOCUS = "#items"

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self.document: AdviseDocument | None = None
        self._unfolded = False

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield HangingRows(id="verdict")
        with Container(id="body"):
            yield Choices(id="items", markup=False)
            with VerticalScroll(id="reasons", can_focus=False):
                yield HangingRows(id="detail")
        yield KeyLine()

    def current(self) -> Run | None:
        return self._run

    def on_mount(self) -> None:
        self._fetch()

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _sentence(self, key: str, /, **values: Any) -> str:
        return translate(f"screen.{key}", self.rmtui.lang, **values)

    def _fetch(self) -> None:
        ws, run, lang = self.ws, self._run, self.rmtui.lang
        preset = f"preset {run.preset}" if run.preset else ""
        self.query_one(TopBar).show_parts(self._sentence("advice_of", run=run.name), "", preset)

        def job() -> Advised:
            from rmtui.operations.advise import advise

            return Advised(advise(ws, run.id, lang))

        self.ask("advice", job, group="advice")

    @on(Advised)
    def _advised(self, message: Advised) -> None:
        self.document = message.document
        self._write()

    def on_resize(self) -> None:
        self.call_after_refresh(self._write)

    def _text(self) -> AdviceText:
        assert self.document is not None
        return AdviceText(self.document, glyphs_of(self), palette_of(self), self.rmtui.lang)

    def _write(self) -> None:
        """The lines, with the cursor on what it was on, at first on the first step."""
        if self.document is None:
            return
        verdict = verdict_text(self.document, glyphs_of(self).enter, palette_of(self), self.rmtui.lang)
        self.query_one("#verdict", HangingRows).show_rows([row("", verdict)])
        items, text = self.query_one(Choices), self._text()
        before = self._chosen()
        items.set_class(not self._unfolded, "-lines")
        items.styles.text_wrap = "wrap" if self._unfolded else "nowrap"  # at once: heights are worked out with it
        items.clear_options()
        items.add_options(
            list(text.everything() if self._unfolded else text.lines(self.size.height > 20, self.size.height > 30))
        )
        self.query_one("#body").set_class(self._unfolded, "-everything")
        places = [place for place, option in enumerate(items.options) if not option.disabled]
        same = [place for place in places if _kind_and_name(items.options[place].id) == before]
        items.highlighted = [*same, *places, None][0]
        if items.highlighted in places[:1]:  # with the heading above it, however high the list was until now
            self.call_after_refresh(items.scroll_home, animate=False)

    # Actions

    def _chosen(self) -> tuple[str, str]:
        """(advice, reading, silenced or folded; its id) under the cursor."""
        items = self.query_one(Choices)
        if items.highlighted is None:
            return "", ""
        return _kind_and_name(items.get_option_at_index(items.highlighted).id)

    def offers(self, action: str) -> bool:
        """What the line under the cursor has a use for."""
        kind, _ = self._chosen()
        if action in ("silence", "silence_always"):
            return kind in ("advice", "reading")
        return action != "take" or kind == "silenced" or bool(self._advice())

    @on(Choices.OptionHighlighted)
    def _moved(self) -> None:
        self.query_one(KeyLine).renew()
        if self.document is not None and not self._unfolded:
            self.query_one("#detail", HangingRows).show_rows(self._text().details(*self._chosen()))
            self.query_one("#reasons").scroll_home(animate=False)

    @on(Choices.OptionSelected)
    def _selected(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        """The step under the cursor; on any other line the first one."""
        kind, name = self._chosen()
        if kind == "silenced":
            self._unmute(name)
        elif kind == "folded":
            self.action_why()
        elif self._advice():
            self._take(name if kind == "advice" else self._advice()[0]["id"])

    def _take(self, name: str) -> None:
        step = next(step for step in self._advice() if step["id"] == name)
        if step["action"] == "form":
            self.go(AgainForm(self._run, step["changes"], launch=True))
        elif step["action"] == "launch":
            self.go(AgainForm(self._run, {}))
        elif step["action"] == "check":
            self.go(Data())
        elif step["action"] == "evaluate":
            self.action_confirm()
        elif step["action"] == "resume":
            self.action_resume()
        else:
            self.toast(f"to be done outside rmtui: {step['text']}")

    def action_confirm(self) -> None:
        """val_acc by an evaluation, or typed where there is nothing to evaluate."""
        from rmtui.operations.load_subjects import has_model

        if has_model(self._run):
            self.action_evaluate()
        else:
            self.action_edit("val_acc")

    def _advice(self) -> list[AdviceDocument]:
        return self.document["advice"] if self.document else []

    def action_why(self) -> None:
        """Everything with its reasons, or again a line each."""
        self._unfolded = not self._unfolded
        self._write()

    def action_silence(self) -> None:
        self._silence(False)

    def action_silence_always(self) -> None:
        self._silence(True)

    def _silence(self, always: bool) -> None:
        kind, name = self._chosen()
        if kind not in ("advice", "reading"):
            return
        run = self._run
        item = title(name, self.rmtui.lang)
        message = self._sentence("silenced_always" if always else "silenced_run", item=item, run=run.name)

        def job() -> str:
            from rmtui.operations.mute import silence

            silence(self.ws, run.id, name, always)
            return message

        self.do("silence", job)

    def _unmute(self, name: str) -> None:
        run, message = self._run, self._sentence("said_again", item=title(name, self.rmtui.lang))

        def job() -> str:
            from rmtui.operations.mute import unsilence

            unsilence(self.ws, run.id, name)
            return message

        self.do("silence", job)

    def on_done(self, message: Done) -> None:
        self._fetch()


def _kind_and_name(option: str | None) -> tuple[str, str]:
    kind, name, *_ = [*(option or "").split("-"), ""]
    return kind, name
