"""Every action of the app, once: id, keys, words, pane. Footer, help, palette, key map and docs follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do with a key. `id` is `pane.name`; the screen of that pane has `action_<name>`."""

    id: str
    keys: str
    """Textual key names, separated by commas; users replace them in keys.toml."""
    word: str
    """What the footer and the palette call it."""
    help: str
    footer: bool = False
    """One of the few keys that matter most in its pane."""
    palette: bool = True
    priority: bool = False
    """Works while a text field has the focus."""

    @property
    def pane(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The name of the Textual action."""
        return self.id.partition(".")[2]

    def binding(self) -> Binding:
        return Binding(
            self.keys,
            self.name,
            self.word,
            show=self.footer,
            tooltip=self.help,
            id=self.id,
            priority=self.priority,
        )


PANES: dict[str, str] = {
    "app": "everywhere",
    "back": "screens above home",
    "home": "home: list of runs",
    "run": "a run",
    "form": "preset form",
    "presets": "choice of preset",
    "compare": "comparison",
    "advice": "advice",
    "pairs": "pairs",
    "data": "data check",
    "queue": "queue",
    "empty": "empty workspace",
}
"""Panes that have actions, with the heading that help and docs give them."""

ACTIONS: tuple[Action, ...] = (
    Action("app.help", "question_mark,f1", "help", "What each key does here, now", footer=True),
    Action("app.palette", "colon,ctrl+p", "commands", "Find any action by its name", palette=False),
    Action(
        "app.theme", "ctrl+t", "theme", "Next colour theme: dark, light, high contrast, colour-blind safe, 16 colours"
    ),
    Action("app.language", "ctrl+l", "language", "Readings and advice in English or Chinese"),
    Action("app.queue", "Q", "queue", "What waits for a device, and its order"),
    Action("app.data", "D", "data check", "Look for defects in preference data, line by line"),
    Action("app.import_runs", "i", "import", "Read past runs: logs, trainer_state.json, TensorBoard, W&B, exports"),
    Action("app.redraw", "f5", "redraw", "Draw the whole screen anew", palette=False),
    Action("app.quit", "q", "quit", "Leave rmtui; trainings go on"),
    Action(
        "app.suspend_process", "ctrl+z", "suspend", "Put rmtui into the background of the shell; `fg` brings it back"
    ),
    Action("back.leave", "escape", "back", "Back to the screen before", footer=True, palette=False),
    Action("home.new", "n", "new", "Open preset A, B or C as a form and launch it", footer=True),
    Action(
        "home.stop", "x", "stop", "Stop the run gracefully: it saves a checkpoint first; again: at once", footer=True
    ),
    Action("home.resume", "r", "resume", "Go on from the newest valid checkpoint", footer=True),
    Action("home.again", "b", "again, but …", "Open the run's configuration as a form", footer=True),
    Action("home.compare", "c", "compare", "Put the marked runs side by side (two to six)", footer=True),
    Action(
        "home.filter",
        "slash",
        "filter",
        "Show only the runs that match: words, state:failed, tag:x, val_acc>0.7, since:2d",
        footer=True,
    ),
    Action("home.advise", "a", "advice", "What the figures mean and what to try next"),
    Action(
        "home.sort_left", "less_than_sign,comma", "sort by column left", "Choose the column to sort by, to the left"
    ),
    Action(
        "home.sort_right",
        "greater_than_sign,full_stop",
        "sort by column right",
        "Choose the column to sort by, to the right",
    ),
    Action("home.turn", "s", "turn sort", "Turn the order round"),
    Action("home.rename", "e", "rename", "Give the run another name"),
    Action("home.note", "o", "note", "Write a note on the run"),
    Action("home.tags", "t", "tags", "Change the tags of the marked runs: `good -old`"),
    Action("home.group", "u", "group", "Put the marked runs into a group"),
    Action("home.pin", "p", "pin", "Keep the run at the top of the list, or let it go"),
    Action("home.baseline", "B", "baseline", "Measure Δ from this run; once more: from none"),
    Action("home.archive", "A", "archive", "Take the marked runs out of the list, or put them back"),
    Action("home.delete", "delete", "delete", "Delete the marked runs and their files, after a question"),
    Action("home.pairs", "P", "pairs", "Read the pairs that the run gets wrong, closest and tied"),
    Action("home.evaluate", "V", "evaluate", "Confirm val_acc: score the best checkpoint on its validation pairs now"),
    Action("home.copy", "y", "copy folder", "Copy the path of the run's folder to the clipboard"),
    Action("home.clear", "escape", "clear", "Take away the filter, then the marks", palette=False),
    Action("home.list", "1", "list", "Go to the list"),
    Action("home.curves", "2", "curves", "Go to the curves"),
    Action("home.log", "3,l", "log", "Go to the log of the run"),
    Action("home.summary", "4", "summary", "Go to what the figures say"),
    Action("run.overview", "1", "curves", "Curves and progress", footer=True),
    Action("run.log", "2,l", "log", "The run's logs", footer=True),
    Action("run.details", "3", "details", "Configuration, attempts, epochs, devices", footer=True),
    Action(
        "run.stop", "x", "stop", "Stop the run gracefully: it saves a checkpoint first; again: at once", footer=True
    ),
    Action("run.resume", "r", "resume", "Go on from the newest valid checkpoint", footer=True),
    Action("run.again", "b", "again, but …", "Open the run's configuration as a form", footer=True),
    Action("run.advise", "a", "advice", "What the figures mean and what to try next", footer=True),
    Action("run.pairs", "P", "pairs", "Read the pairs that the run gets wrong, closest and tied"),
    Action("run.first_error", "E", "first error", "Go to the first error in the log"),
    Action("run.rank", "R", "next log", "Show the log of the next rank, then of the launcher"),
    Action("run.stacks", "K", "stacks", "Write what every rank is doing into its log"),
    Action("run.evaluate", "V", "evaluate", "Confirm val_acc: score the best checkpoint on its validation pairs now"),
    Action("form.launch", "ctrl+r", "run", "Show the exact command, then start", footer=True, priority=True),
    Action("form.queue", "ctrl+q", "queue", "Queue the run behind those that wait", footer=True, priority=True),
    Action("form.seeds", "ctrl+n", "three seeds", "Queue the run with seeds 1, 2 and 3", priority=True),
    Action(
        "form.save",
        "ctrl+s",
        "save",
        "Write the changes into the preset's file; comments stay",
        footer=True,
        priority=True,
    ),
    Action("form.save_as", "ctrl+w", "save as", "Write a new preset under another name", priority=True),
    Action("form.revert", "ctrl+o", "revert", "Back to what the file says", priority=True),
    Action("presets.choose", "enter", "open", "Open the preset as a form", footer=True),
    Action("presets.all", "T", "train all", "Queue A, B and C, one after the other", footer=True),
    Action("compare.fold", "e", "fold equal", "Show or hide what is equal in all runs", footer=True),
    Action("compare.pairs", "p", "pairs", "Read the pairs that were mended and broken", footer=True),
    Action("compare.copy", "y", "copy", "Copy the comparison as Markdown", footer=True),
    Action("advice.take", "enter", "try it", "Open a form with the advised values filled in", footer=True),
    Action("advice.silence", "s", "silence", "Say this no more for this run", footer=True),
    Action("advice.silence_always", "S", "silence always", "Say this no more for any run", footer=True),
    Action(
        "pairs.next",
        "n,right_square_bracket",
        "next kind",
        "Next kind of pairs: most wrong, closest, tied",
        footer=True,
    ),
    Action("pairs.export", "w", "write", "Write likely mislabelled pairs to a file"),
    Action("data.start", "enter", "check", "Check the file under the cursor", footer=True),
    Action("data.cancel", "x", "cancel", "End the check that runs", footer=True),
    Action("queue.up", "K,minus", "up", "One place forward", footer=True),
    Action("queue.down", "J,plus", "down", "One place back", footer=True),
    Action("queue.remove", "x", "take out", "Take the run out of the queue", footer=True),
    Action(
        "queue.pump", "r", "start", "Start what can start now: after a restart, queued runs wait for this", footer=True
    ),
    Action("empty.demo", "d", "demo", "Make a small model and data and train them for real, here", footer=True),
    Action("empty.new", "n", "launch", "Open preset A, B or C as a form and launch it", footer=True),
    Action("empty.import_runs", "i", "import", "Read past runs from logs or folders", footer=True),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def in_palette(binding: Binding) -> bool:
    """Ours, with words, and worth finding by name; what Textual binds by itself has no id."""
    known = BY_ID.get(binding.id or "")
    return binding.id is not None and bool(binding.description) and (known is None or known.palette)


def of_pane(pane: str) -> Iterator[Action]:
    """The actions of a pane in the order of the table."""
    return (action for action in ACTIONS if action.pane == pane)


def bindings(*panes: str) -> list[BindingType]:
    """What a screen declares as its BINDINGS."""
    return [action.binding() for pane in panes for action in of_pane(pane)]
