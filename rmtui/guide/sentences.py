"""What a reading says and what an advice tells to do, in the catalogue's sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtui.guide.model import Advice, Reading
from rmtui.guide.paired_test import counted_pairs, shown_text
from rmtui.i18n import changes_text, in_brackets, interval_text, title, title_numbers, translate, value_text
from rmtui.runs.entered import BY_HAND


def text(item: Reading | Advice, lang: str = "en") -> str:
    """What a reading says, or what an advice tells to do."""
    if isinstance(item, Advice):
        changes = changes_text(item.changes, lang)
        then = translate("word.then", lang, changes=changes) if changes else ""
        return translate(f"advice.{item.id}", lang, **_of_advice(item, lang), changes=changes, then=then)
    return translate(f"reading.{item.id}", lang, **_composed(item.figures, lang))


def short(item: Advice, lang: str = "en") -> str:
    """An advice in a few words: `1 epoch at 3e-5`, `lora.dropout 0.2`, `check the data`."""
    settings = dict(item.changes)
    if not settings:
        return titled(item, lang)
    epochs, rate = settings.pop("num_epochs", None), settings.pop("learning_rate", None)
    words = []
    if epochs is not None:
        word = "one_epoch" if epochs == 1 else "epochs"
        words.append(translate(f"phrase.{word}", lang, n=epochs))
        words = words if rate is not None else [translate("phrase.train_for", lang, epochs=words[0])]
    if rate is not None:
        word = "at_rate" if words else "rate"
        words = ["".join([*words, translate(f"phrase.{word}", lang, rate=value_text("learning_rate", rate))])]
    few = dict(list(settings.items())[:2])
    words += [changes_text(few, lang)] if few else []
    words += [translate("phrase.more_settings", lang, n=len(settings) - 2)] if len(settings) > 2 else []
    return translate("phrase.comma", lang).join(words)


def titled(item: Reading | Advice, lang: str = "en") -> str:
    """The title of a reading, or of an advice, with what it rests on: `val_acc fell (against A-1 73.1 % → 70.2 %)`."""
    return named(item.id, item.figures, lang)


def named(name: str, figures: Mapping[str, object], lang: str = "en") -> str:
    """The same of a reading's or an advice's id and figures."""
    values, name = title_numbers(name, lang, **_composed(figures, lang)), title(name, lang)
    return translate("phrase.title_figures", lang, title=name, figures=values) if values else name


def origin_text(entered: str, lang: str = "en") -> str:
    """`, entered by hand`, `, read from FILE`; empty for a value that was measured."""
    if not entered:
        return ""
    return translate("word.entered_by_hand" if entered == BY_HAND else "word.entered_from", lang, entered=entered)


def reason(item: Advice, lang: str = "en") -> str:
    """Why an advice is given."""
    why = translate(f"advice.why_{item.id}", lang, **item.figures)
    return why + in_brackets(translate("word.own", lang), lang) if item.own else why


def _of_advice(item: Advice, lang: str) -> dict[str, object]:
    made = dict(item.figures)
    if "has_model" in made:
        made["how"] = "" if made["has_model"] else translate("word.enter_it", lang)
    if "state" in made:
        made["state"] = translate(f"state.{made['state']}", lang)
        made["reached"] = translate(
            "word.reached" if made["reached"] else "word.before_steps", lang, step=made["reached"]
        )
        word = "from_start" if made["checkpoint"] is None else "from_checkpoint"
        made["then_on"] = translate(f"word.{word}", lang, checkpoint=made["checkpoint"], key=made["key"])
    return made


def _composed(values: Mapping[str, object], lang: str) -> dict[str, object]:
    """Figures with the small phrases that sentences are built of."""
    made: dict[str, Any] = dict(values)
    if "before" in made and "key" in made:
        made["was"] = translate("word.before", lang, **values) if made["before"] is not None else ""
    if "entered" in made:
        at = translate("word.measured_at", lang, **values) if "measured_at" in made else ""
        made["origin"] = at + origin_text(str(made["entered"]), lang)
    if "scope" in made:
        place = "_at_epoch" if made.get("at_epoch") is not None else ""
        made["scope"] = translate(f"scope.{made['scope']}{place}", lang, **values)
    if "within" in made:
        word = "model_improved" if made["within"] is None else "within_half"
        made["improved"] = translate(f"word.{word}", lang, **values)
        made["unsure"] = "" if made["within"] is None else made["improved"]
    if "val_pairs" in made:
        pairs = counted_pairs(made["val_pairs"], made.get("clusters"), lang) if made["val_pairs"] else ""
        around = interval_text(made["val_acc"], made["low"], made["high"]) if made.get("half") is not None else ""
        made["interval"] = translate("word.interval", lang, around=around, pairs=pairs) if around else ""
        if made.get("coverage") is not None:
            made["interval"] += translate("word.coverage", lang, coverage=made["coverage"])
        made["around"], made["pairs"] = around, pairs
    if "n" in made and "clusters" in made:
        made["pairs"] = counted_pairs(int(made["n"]), made["clusters"], lang)
    if "shows" in made:
        made["can_show"] = shown_text(made["shows"], made["pairs"], made["power"], lang)
    if "ruler" in made:
        made["ruler_name"] = translate(f"word.ruler_{made['ruler']}", lang)
    if "lesson" in made:
        made["lesson"] = translate(f"lesson.{made['lesson']}", lang)
    if "step" in made or "epoch" in made:
        made["place"] = _place(made, lang)
    return made


def _place(values: Mapping[str, object], lang: str) -> str:
    for name in ("step", "epoch"):
        if values.get(name) is not None:
            return translate(f"word.at_{name}", lang, **{name: values[name]})
    return ""
