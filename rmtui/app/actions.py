"""Every action of the app, once: id, keys, words, pane. Footer, help, palette, key map and docs follow from it."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from textual.binding import Binding, BindingType


class Action(NamedTuple):
    """One thing a person can do with a key. `id` is `pane.name`; screen or widget of that pane has `action_<name>`."""

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
    """Jobs while a text field has the focus."""
    does: str = ""
    """The Textual action, where it is not called like the id: `move(1)`."""

    @property
    def pane(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The id without its pane."""
        return self.id.partition(".")[2]

    def binding(self) -> Binding:
        return Binding(
            self.keys,
            self.does or self.name,
            self.word,
            show=self.footer,
            tooltip=self.help,
            id=self.id,
            priority=self.priority,
        )


PANES: dict[str, str] = {
    "app": "everywhere",
    "back": "other screens",
    "home": "home: list of runs",
    "run": "a run",
    "form": "preset form",
    "presets": "preset list",
    "compare": "comparison",
    "advice": "advice",
    "pairs": "pairs",
    "marks": "marks on pairs",
    "data": "data check",
    "queue": "queue",
    "tune": "search",
    "begin": "new search",
    "empty": "empty workspace",
    "table": "the list",
    "chart": "curves",
    "log": "a log",
    "fields": "fields of a form",
    "choices": "lists to choose from",
    "filter": "the filter line",
    "launch": "launch",
    "dialog": "confirmation",
    "ask": "text input",
    "path": "a path",
    "help": "help",
}
"""Panes that have actions, with the heading that help and docs give them."""

ACTIONS: tuple[Action, ...] = (
    Action("app.help", "question_mark,f1", "help", "What each key does here, now", footer=True),
    Action("app.palette", "colon,ctrl+p", "commands", "Find any action by its name", palette=False),
    Action(
        "app.theme", "ctrl+t", "theme", "Next colour theme: dark, light, high contrast, colour-blind safe, 16 colours"
    ),
    Action("app.language", "ctrl+l", "language", "Switch between English and Chinese"),
    Action("app.queue", "Q", "queue", "Runs waiting for a device, in order"),
    Action("app.tune", "O", "search", "The search for good settings: its trials, why each was made, the best so far"),
    Action("app.data", "D", "data check", "Look for defects in preference data, line by line"),
    Action("app.import_runs", "i", "import", "Read past runs: logs, trainer_state.json, TensorBoard, W&B, exports"),
    Action("app.redraw", "f5", "redraw", "Redraw the whole screen", palette=False),
    Action("app.cancel", "ctrl+g", "cancel work", "Cancel background work: an import, a scoring, a deletion"),
    Action("app.quit", "q", "quit", "Leave rmtui; runs keep training"),
    Action("app.suspend_process", "ctrl+z", "suspend", "Suspend rmtui to the shell; `fg` brings it back"),
    Action("back.leave", "escape", "back", "Back to the screen before", footer=True, palette=False),
    Action("home.new", "n", "new", "Open preset A, B or C as a form and launch it", footer=True),
    Action(
        "home.stop", "x", "stop", "Stop the run gracefully: it saves a checkpoint first; again: at once", footer=True
    ),
    Action("home.resume", "r", "resume", "Resume from the newest valid checkpoint", footer=True),
    Action("home.again", "b", "re-run", "Open the run's configuration as a form", footer=True),
    Action("home.compare", "c", "compare", "Put the marked runs side by side (two to six)", footer=True),
    Action(
        "home.filter",
        "slash",
        "filter",
        "Show only the runs that match: words, state:failed, tag:x, val_acc>0.7, since:2d",
        footer=True,
    ),
    Action("home.advise", "a", "advice", "What the metrics mean and what to try next"),
    Action(
        "home.sort_left",
        "less_than_sign,comma",
        "sort by column left",
        "Choose the column to sort by, to the left",
        does="sort_by(-1)",
    ),
    Action(
        "home.sort_right",
        "greater_than_sign,full_stop",
        "sort by column right",
        "Choose the column to sort by, to the right",
        does="sort_by(1)",
    ),
    Action("home.turn", "s", "reverse sort", "Reverse the order"),
    Action("home.sort", "S", "sort", "Sort by a column: then its letter; the same letter again reverses the order"),
    Action("home.rename", "e", "rename", "Give the run another name", does="edit('name')"),
    Action("home.note", "o", "note", "Write a note on the run", does="edit('note')"),
    Action("home.tags", "t", "tags", "Change the tags of the marked runs: `good -old`", does="edit('tags')"),
    Action("home.group", "F", "group", "Put the marked runs into a group", does="edit('group')"),
    Action("home.pin", "p", "pin", "Pin the run to the top of the list, or unpin it"),
    Action("home.baseline", "B", "baseline", "Measure Δ from this run; press again to clear"),
    Action("home.archive", "A", "archive", "Archive the marked runs, or bring them back"),
    Action("home.delete", "delete", "delete", "Delete the marked runs and their files, after asking"),
    Action("home.pairs", "P", "pairs", "Read the pairs that the run gets wrong, closest and tied"),
    Action("home.evaluate", "V", "evaluate", "Confirm val_acc: score the best checkpoint on its validation pairs now"),
    Action(
        "home.test",
        "I",
        "sealed test",
        "The last word on one finalist: its accuracy on sealed pairs, each look counted",
        does="take_look",
    ),
    Action(
        "home.learning_curve",
        "percent_sign",
        "learning curve",
        "What more training pairs would bring, by runs on fewer",
    ),
    Action("home.copy", "y", "copy folder", "Copy the path of the run's folder to the clipboard"),
    Action("home.clear", "escape", "clear", "Clear the filter, then the marks", palette=False),
    Action("home.list", "1", "list", "Go to the list"),
    Action(
        "home.details", "5", "details", "The run's configuration, attempts, epochs, devices", does="pane('details')"
    ),
    Action("home.widen", "z", "list alone", "Show the list alone with all its columns, and back"),
    Action("home.curves", "2", "curves", "Go to the curves", does="pane('curves')"),
    Action("home.log", "3,l", "log", "Go to the log of the run", does="pane('log')"),
    Action("home.summary", "4", "summary", "Go to what the metrics mean", does="pane('summary')"),
    Action("run.list", "1", "list", "Back to the list"),
    Action("run.overview", "2", "curves", "Curves and progress", footer=True),
    Action("run.log", "3,l", "log", "The run's logs", footer=True),
    Action("run.summary", "4", "summary", "Go to what the metrics mean"),
    Action("run.details", "5", "details", "Configuration, attempts, epochs, devices", footer=True),
    Action(
        "run.stop", "x", "stop", "Stop the run gracefully: it saves a checkpoint first; again: at once", footer=True
    ),
    Action("run.resume", "r", "resume", "Resume from the newest valid checkpoint", footer=True),
    Action("run.again", "b", "re-run", "Open the run's configuration as a form", footer=True),
    Action("run.advise", "a", "advice", "What the metrics mean and what to try next", footer=True),
    Action("run.pairs", "P", "pairs", "Read the pairs that the run gets wrong, closest and tied"),
    Action("run.first_error", "E", "first error", "Go to the first error in the log"),
    Action("run.rank", "R", "next log", "Show the log of the next rank, then of the launcher"),
    Action("run.stacks", "ctrl+k", "stacks", "Write every rank's stack traces to its log"),
    Action("run.evaluate", "V", "evaluate", "Confirm val_acc: score the best checkpoint on its validation pairs now"),
    Action(
        "run.test",
        "I",
        "sealed test",
        "The last word on one finalist: its accuracy on sealed pairs, each look counted",
        does="take_look",
    ),
    Action(
        "run.learning_curve", "percent_sign", "learning curve", "What more training pairs would bring, by runs on fewer"
    ),
    Action("form.launch", "ctrl+r", "run", "Show the exact command, then start", footer=True, priority=True),
    Action("form.queue", "ctrl+q", "queue", "Add the run to the queue", footer=True, priority=True),
    Action("form.seeds", "ctrl+n", "three seeds", "Queue the run with seeds 1, 2 and 3", priority=True),
    Action(
        "form.save",
        "ctrl+s",
        "save",
        "Save the changes to the preset's file; comments are kept",
        footer=True,
        priority=True,
    ),
    Action("form.save_as", "ctrl+w", "save as", "Save as a new preset", priority=True),
    Action("form.revert", "ctrl+o", "revert", "Discard the changes and re-read the file", priority=True),
    Action("presets.choose", "enter", "open", "Open the preset as a form", footer=True),
    Action("presets.duplicate", "y", "duplicate", "Copy the preset under another name", footer=True),
    Action("presets.all", "T", "train all", "Queue every preset, one after the other", footer=True),
    Action("compare.fold", "v", "fold equal", "Show or hide settings that are equal in all runs", footer=True),
    Action("compare.pairs", "P", "pairs", "Read the pairs that were fixed or regressed", footer=True),
    Action("compare.advise", "a", "advice", "What to try next after the run that leads", footer=True),
    Action("compare.copy", "y", "copy", "Copy the comparison as Markdown", footer=True),
    Action(
        "advice.take",
        "enter",
        "take it",
        "Prepare the launch of the step under the cursor, else of the first",
        footer=True,
    ),
    Action(
        "advice.why",
        "w",
        "all, with reasons",
        "Every advice with its reasons, every reading, what was expected and the path; and back",
        footer=True,
    ),
    Action(
        "advice.evaluate", "V", "evaluate", "Confirm val_acc: score the best checkpoint on its validation pairs now"
    ),
    Action("advice.silence", "h", "hide", "Hide this for this run", footer=True),
    Action("advice.silence_always", "H", "hide always", "Hide this for every run", footer=True),
    Action(
        "pairs.next",
        "right_square_bracket,right,tab",
        "next kind",
        "Next kind of pairs: most wrong, closest, tied",
        footer=True,
    ),
    Action("pairs.previous", "left_square_bracket,left,shift+tab", "previous kind", ""),
    Action("pairs.export", "ctrl+s", "write", "Write likely mislabelled pairs to a file"),
    Action("marks.flip", "f", "flip", "Mark the pair: the other answer is better", True, does="mark('flip')"),
    Action("marks.tie", "t", "tie", "Mark the pair: neither answer is better", True, does="mark('tie')"),
    Action("marks.drop", "d", "drop", "Mark the pair: leave it out", True, does="mark('drop')"),
    Action("marks.undo", "u", "undo", "Undo the last mark", footer=True, does="undo_mark"),
    Action("marks.write", "C", "create version", "Write a version of the file as marked", True, does="write_version"),
    Action("data.start", "enter", "check", "Check the file under the cursor", footer=True),
    Action("data.suspects", "P", "suspects", "Training pairs whose labels words speak against", footer=True),
    Action("data.cancel", "x", "cancel", "End the check that runs", footer=True),
    Action("queue.up", "K,minus", "move up", "One place forward", footer=True),
    Action("queue.down", "J,plus", "move down", "One place back", footer=True),
    Action("queue.remove", "x", "cancel", "Remove the run from the queue", footer=True),
    Action(
        "queue.pump", "r", "start", "Start what can start now; after a reboot queued runs wait for this", footer=True
    ),
    Action(
        "tune.new_search",
        "n",
        "new search",
        "Fill in a new search; its plan and cost are shown before it starts",
        footer=True,
    ),
    Action("tune.stop", "x", "stop", "Stop the search: its runs save a checkpoint first", footer=True),
    Action("tune.pause", "space", "pause", "Let the runs that train end; begin no further one for now", footer=True),
    Action(
        "tune.extend",
        "r",
        "go on",
        "Go on with the search; one that runs or is done gets half as much again to spend",
        footer=True,
    ),
    Action(
        "begin.start",
        "enter,ctrl+r",
        "start",
        "Show the plan and its cost; again: start the search, which goes on when rmtui is left",
        footer=True,
        priority=True,
    ),
    Action("begin.up", "up", "field above", "", does="app.focus_previous"),
    Action("begin.down", "down", "field below", "", does="app.focus_next"),
    Action("empty.take", "enter", "take in", "Make a workspace here with everything that is marked", footer=True),
    Action("empty.leave_out", "space", "leave out", "Take in the part under the cursor, or leave it out", footer=True),
    Action("empty.demo", "d", "demo", "Make a small model and data here and train on them for real", footer=True),
    Action("empty.new", "n", "launch", "Open preset A, B or C as a form and launch it", footer=True),
    Action("empty.import_runs", "i", "import", "Read past runs from logs or folders", footer=True),
    Action("empty.guide", "M", "guide", "Make a workspace here with the tuning guide's two runs", footer=True),
    Action("table.down", "j,down", "down", "", does="move(1)"),
    Action("table.up", "k,up", "up", "", does="move(-1)"),
    Action("table.top", "g,home", "first run", "", does="jump(0)"),
    Action("table.bottom", "G,end", "last run", "", does="jump(-1)"),
    Action("table.page_down", "pagedown,ctrl+f", "a page down", "", does="page(1)"),
    Action("table.page_up", "pageup,ctrl+b", "a page up", "", does="page(-1)"),
    Action("table.mark", "space", "mark", "Mark the run: marked runs are drawn and compared together", footer=True),
    Action("table.open", "enter", "open", "Open the run full screen", footer=True),
    Action("chart.right", "right", "cursor right", "Read the values of all curves at one point", does="cursor(1)"),
    Action("chart.left", "left", "cursor left", "The same, from the right end", does="cursor(-1)"),
    Action("chart.far_right", "shift+right", "far right", "", does="cursor(10)"),
    Action("chart.far_left", "shift+left", "far left", "", does="cursor(-10)"),
    Action("chart.log_here", "enter", "log here", "Go to the log at the step under the cursor", footer=True),
    Action("chart.zoom_in", "plus,equals_sign", "zoom in", "About the cursor", does="zoom(0.5)", footer=True),
    Action("chart.zoom_out", "minus", "zoom out", "", does="zoom(2)"),
    Action("chart.pan_left", "left_square_bracket", "pan left", "", does="pan(-1)"),
    Action("chart.pan_right", "right_square_bracket", "pan right", "", does="pan(1)"),
    Action("chart.reset", "backspace", "whole curve", "Reset zoom and cursor", does="reset"),
    Action("chart.smooth", "m", "smoothing", "None, 0.6, 0.9, 0.97", does="smooth"),
    Action("chart.log", "L", "log scale", "Logarithmic scale on or off"),
    Action("chart.axis", "X", "x axis", "Step, epoch, tokens or time", footer=True),
    Action("log.down", "j,down", "line down", "", does="move(1)"),
    Action("log.up", "k,up", "line up", "", does="move(-1)"),
    Action("log.page_down", "pagedown,ctrl+f", "a page down", "", does="page(1)"),
    Action("log.page_up", "pageup,ctrl+b", "a page up", "", does="page(-1)"),
    Action("log.top", "g,home", "first line", "", does="top"),
    Action("log.end", "G,end", "end", "To the end, and follow", does="follow"),
    Action("log.right", "right", "to the right", "", does="aside(20)"),
    Action("log.left", "left", "to the left", "", does="aside(-20)"),
    Action("log.follow", "f", "follow", "Follow / pause", does="toggle_follow", footer=True),
    Action(
        "log.search",
        "slash",
        "search",
        "A regular expression, or literal text after \\; enter again repeats the search",
        does="ask('/')",
        footer=True,
    ),
    Action(
        "log.filter",
        "ampersand",
        "filter",
        "Show only matching lines; empty shows all",
        does="ask('&')",
        footer=True,
    ),
    Action("log.next", "n", "next hit", "", does="again(True)"),
    Action("log.previous", "N", "previous hit", "", does="again(False)"),
    Action("log.wrap", "W", "wrap", "Wrap long lines, or cut them", footer=True),
    Action("log.times", "Z", "timestamps", "Show or hide the time before each line"),
    Action("log.copy_line", "y", "copy line", "To the clipboard, through the terminal"),
    Action("log.copy_path", "Y", "copy path", "Of the log's file"),
    Action("log.step", "enter", "curve here", "The curve at the step that the line names", does="step_here"),
    Action("fields.down", "down,tab,j", "next field", "", does="move(1)"),
    Action("fields.up", "up,shift+tab,k", "previous field", "", does="move(-1)"),
    Action("fields.page_down", "pagedown", "eight fields down", "", does="move(8)"),
    Action("fields.page_up", "pageup", "eight fields up", "", does="move(-8)"),
    Action("fields.top", "g,home", "first field", "", does="move(-999)"),
    Action("fields.bottom", "G,end", "last field", "", does="move(999)"),
    Action("fields.edit", "enter", "edit", "Edit the field; a digit replaces the value, escape cancels", footer=True),
    Action("fields.right", "right,space", "next choice", "Whole numbers: one more", does="turn(1)"),
    Action("fields.left", "left", "previous choice", "Whole numbers: one less", does="turn(-1)"),
    Action("fields.undo", "u", "undo", "Undo the last change", footer=True),
    Action("fields.redo", "U", "redo", "Redo the change"),
    Action("fields.restore", "backspace,delete", "restore", "Restore the field's original value"),
    Action("fields.advanced", "v", "all fields", "Show or hide rarely changed fields", footer=True),
    Action("choices.down", "down,j", "down", "", does="cursor_down"),
    Action("choices.up", "up,k", "up", "", does="cursor_up"),
    Action("choices.page_down", "pagedown", "page down", "", does="page_down"),
    Action("choices.page_up", "pageup", "page up", "", does="page_up"),
    Action("choices.top", "home,g", "first", "", does="first"),
    Action("choices.bottom", "end,G", "last", "", does="last"),
    Action("filter.drop", "escape", "clear", "Clear the filter", footer=True),
    Action("filter.keep", "enter", "to the list", "Keep the filter and go to the list", footer=True, priority=True),
    Action("launch.leave", "escape", "back", "Back to the form; nothing was started", footer=True),
    Action(
        "launch.start",
        "ctrl+r",
        "start",
        "Start, unless something is wrong; same as enter",
        footer=True,
        priority=True,
    ),
    Action("launch.up", "up", "field above", "", does="app.focus_previous"),
    Action("launch.down", "down", "field below", "", does="app.focus_next"),
    Action("launch.page_down", "pagedown", "scroll down", "Scroll the command and its numbers", does="scroll_plan(1)"),
    Action("launch.page_up", "pageup", "scroll up", "", does="scroll_plan(-1)"),
    Action("dialog.yes", "y,enter", "yes", "", does="answer(True)", footer=True),
    Action("dialog.no", "n,escape,q", "no", "", does="answer(False)", footer=True),
    Action(
        "path.complete", "tab", "complete", "Complete the path as a shell does; else to the next field", palette=False
    ),
    Action("ask.leave", "escape", "back", "Change nothing", does="leave", footer=True),
    Action("help.leave", "escape,question_mark,f1,q", "back", "", does="leave", footer=True),
    Action("help.down", "j,down", "down", "", does="scroll(1)"),
    Action("help.up", "k,up", "up", "", does="scroll(-1)"),
    Action("help.page_down", "pagedown,space", "a page down", "", does="scroll(10)"),
    Action("help.page_up", "pageup", "a page up", "", does="scroll(-10)"),
)

LETTERS: dict[str, str] = {
    "a": "advice",
    "b": "re-run",
    "c": "compare",
    "d": "demo; of a pair, drop",
    "e": "rename",
    "f": "follow; of a pair, flip",
    "g": "to the first",
    "h": "hide",
    "i": "import",
    "j": "down",
    "k": "up",
    "l": "log",
    "m": "smoothing",
    "n": "new; in a log, as in less, the next hit",
    "o": "note",
    "p": "pin",
    "q": "leave",
    "r": "resume, start",
    "s": "reverse the order",
    "t": "tags; of a pair, tie",
    "u": "undo",
    "v": "show or hide more",
    "w": "all, with reasons",
    "x": "stop, cancel",
    "y": "copy",
    "z": "list alone",
    "A": "archive",
    "B": "baseline",
    "C": "create version",
    "D": "data check",
    "E": "first error",
    "F": "group",
    "G": "to the last",
    "H": "hide always",
    "I": "sealed test",
    "J": "move down",
    "K": "move up",
    "L": "log scale",
    "M": "guide",
    "N": "the hit before",
    "O": "search",
    "P": "pairs",
    "Q": "queue",
    "R": "next log",
    "S": "sort by",
    "T": "train all",
    "U": "redo",
    "V": "evaluate",
    "W": "wrap",
    "X": "x axis",
    "Y": "copy path",
    "Z": "timestamps",
}
"""What a letter means, on whichever screen. Questions are left out: there y and n are yes and no."""

SENSES: dict[str, str] = {
    "first run": "to the first", "first line": "to the first", "first field": "to the first", "first": "to the first",
    "last run": "to the last", "end": "to the last", "last field": "to the last", "last": "to the last",
    "line down": "down", "next field": "down", "line up": "up", "previous field": "up",
    "new search": "new; in a log, as in less, the next hit",
    "new": "new; in a log, as in less, the next hit", "launch": "new; in a log, as in less, the next hit",
    "next hit": "new; in a log, as in less, the next hit", "previous hit": "the hit before",
    "quit": "leave", "back": "leave", "resume": "resume, start", "go on": "resume, start", "start": "resume, start",
    "reverse sort": "reverse the order", "sort": "sort by",
    "all fields": "show or hide more", "fold equal": "show or hide more",
    "stop": "stop, cancel", "cancel": "stop, cancel",
    "demo": "demo; of a pair, drop", "drop": "demo; of a pair, drop",
    "follow": "follow; of a pair, flip", "flip": "follow; of a pair, flip",
    "tags": "tags; of a pair, tie", "tie": "tags; of a pair, tie", "suspects": "pairs",
    "copy folder": "copy", "duplicate": "copy", "copy line": "copy",
}  # fmt: skip
"""Words of actions whose letter means something wider."""

DIGITS: dict[str, str] = {"1": "list", "2": "curves", "3": "log", "4": "summary", "5": "details"}
"""Panes, on home and on a run."""

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def in_palette(binding: Binding) -> bool:
    """Ours, and worth finding by name: not what merely moves; what Textual binds by itself has no id."""
    known = BY_ID.get(binding.id or "")
    return known is not None and known.palette and bool(known.help)


PLACES: dict[str, tuple[str, ...]] = {
    "home": (), "table": (), "filter": ("home.filter",), "chart": ("home.curves",), "log": ("home.log",),
    "run": ("table.open",), "presets": ("home.new",), "form": ("home.new", "presets.choose"),
    "fields": ("home.new", "presets.choose"), "advice": ("home.advise",), "pairs": ("home.pairs",),
    "marks": ("app.data", "data.suspects"),
    "compare": ("home.compare",), "data": ("app.data",), "queue": ("app.queue",),
    "tune": ("app.tune",), "begin": ("app.tune", "tune.new_search"),
}  # fmt: skip
"""From the list to the pane of an action, by the ids of the actions that lead there."""


def elsewhere(here: Container[str]) -> Iterator[Action]:
    """What can be found by name though it is not where the focus is; `here`: Textual actions of the focused pane."""
    return (
        action
        for action in ACTIONS
        if action.palette and action.help and action.pane in PLACES and (action.does or action.name) not in here
    )


def of_pane(pane: str) -> Iterator[Action]:
    """The actions of a pane in the order of the table."""
    return (action for action in ACTIONS if action.pane == pane)


def bindings(*panes: str) -> list[BindingType]:
    """What a screen declares as its BINDINGS."""
    return [action.binding() for pane in panes for action in of_pane(pane)]
