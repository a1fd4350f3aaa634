"""Names of data sets on the hub in a plan get the revision that they mean now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rmtui.i18n import translate
from rmtui.operations.plan_draft import PlanDraft
from trainer import held_out, hub, joined, mixture
from trainer.unreadable import Unreadable

Tell = Callable[[str], object]
"""Hears what is printed while a data set is fetched."""


def silent(line: str) -> None:
    """For those who wait without looking."""


def choose(draft: PlanDraft, keys: Sequence[str], tell: Tell | None) -> None:
    """Names on the hub get the revision that they mean now, so that the specification says what was trained on. Without
    `tell` nobody is asked, and what this process has not fetched yet stays as it is."""
    flat = draft.flat
    for key in keys:
        if isinstance(path := flat.get(key), str):
            flat[key] = _of_revision(draft, key, path, tell)
    flat["data.extra_val"] = {
        name: _of_revision(draft, f"data.extra_val.{name}", path, tell) for name, path in flat["data.extra_val"].items()
    }
    try:
        found = [mixture.parse(text) for text in flat.get("data.source") or ()]
    except (ValueError, AttributeError):  # refused as a value already
        return
    if found:
        moved = [mixture.moved(one, _of_revision(draft, "data.source", one.path, tell)) for one in found]
        flat["data.source"] = moved


def _of_revision(draft: PlanDraft, key: str, path: str, tell: Tell | None) -> str:
    if len(files := joined.pieces(path)) > 1:
        return joined.join(_of_revision(draft, key, file, tell) for file in files)
    place, part = held_out.parse(path)
    if not hub.is_hub(place):
        return path
    if tell is None and not hub.is_fetched(place):
        remedy = "it is fetched and checked before anything starts"
        draft.wrong(key, f"{path} is on the hub and not fetched yet", remedy, severity="warning")
        return path
    try:
        whole = str(hub.fetch(place, tell or silent).name)
    except Unreadable as error:
        why = translate(f"check.{error.case}", "en", **error.about)
        draft.wrong(key, f"{place}: {why}", f"see rmtui check '{place}'", draft.sources.get(key, ""))
        return path
    return held_out.view(whole, part) if part else whole
