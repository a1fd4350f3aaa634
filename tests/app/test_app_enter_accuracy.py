"""Enter on "confirm val_acc" of an imported run: one field, and the advice goes on from what was typed."""

from __future__ import annotations

import pytest
from app_pilot import NARROW, opened, sees, told, type_text, until

from rmtui.app.screens.advice import AdviceScreen
from rmtui.app.screens.dialogs import Ask
from rmtui.operations.runs import init


@pytest.fixture
def guides(tmp_path):
    return init(tmp_path / "ws")


@pytest.mark.parametrize(("typed", "shows"), [("71.2", "71.2✎"), ("0.712 of 2354", "71.2✎")])
async def test_enter_opens_one_field_and_the_advice_goes_on_from_it(guides, typed, shows):
    async with opened(guides.root, NARROW) as pilot:
        await pilot.press("a")
        screen = await until(pilot, lambda: isinstance(pilot.app.screen, AdviceScreen) and pilot.app.screen)
        await sees(pilot, "Next: confirm val_acc")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await sees(pilot, "val_acc of after at epoch 2")
        await type_text(pilot, typed)
        await pilot.press("enter")
        await told(pilot, "entered by hand")
        await until(pilot, lambda: screen.document and screen.document["advice"][0]["id"] == "preset_a")
        await pilot.press("escape")
        await sees(pilot, shows)


async def test_what_is_no_accuracy_is_refused_in_words(guides):
    async with opened(guides.root, NARROW) as pilot:
        await pilot.press("a")
        await sees(pilot, "Next: confirm val_acc")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await type_text(pilot, "high")
        await pilot.press("enter")
        await told(pilot, "is not a val_acc")
