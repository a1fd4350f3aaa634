"""What a person asks of a search, as the options of `rmtui tune` and the fields of the app's form have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rmtui import presets
from rmtui.errors import UserError
from rmtui.operations.hub_revisions import Tell, silent
from rmtui.tune import order
from rmtui.tune.model import USUAL_SPACE, parse_budget, parse_goal, parse_space

if TYPE_CHECKING:
    from rmtui.operations.launch_request import LaunchRequest
    from rmtui.operations.plan import Plan
    from rmtui.tune.model import Search
    from rmtui.workspace import Workspace

USUAL_PRESETS = ("M", "A")
"""What a search begins from where no preset is named: the first that is there."""


class Rules(NamedTuple):
    """How a search goes, as written; empty: the usual."""

    budget: str
    space: str = ""
    repeats: int = 2
    goal: str = ""
    margin: float = 0.005


def read(ws: Workspace, request: LaunchRequest, rules: Rules, tell: Tell = silent) -> tuple[Plan, Search]:
    """The base configuration, its data checked, and the search's rules. UserError for the first that cannot be."""
    if not rules.budget:
        raise UserError("a search needs a budget", remedy="add --budget 12runs, 8h or 40epochs")
    if rules.repeats < 0 or not 0 <= rules.margin < 1:
        raise UserError(
            "--repeats is from 0, --margin from 0 to 1", remedy="write them like --repeats 2 --margin 0.005"
        )
    budget, goal = parse_budget(rules.budget), parse_goal(rules.goal)
    space = parse_space(rules.space) if rules.space else USUAL_SPACE
    made = order.base_plan(ws, replace(request, preset=request.preset or usual_preset(ws)), tell)
    return made, order.make_search(made, budget, space=space, repeats=rules.repeats, goal=goal, margin=rules.margin)


def usual_preset(ws: Workspace) -> str:
    """The preset of a search that names none."""
    found = {preset.name for preset in presets.all_presets(ws)[0]}
    return next((name for name in USUAL_PRESETS if name in found), USUAL_PRESETS[-1])
