"""A preset in a line, and what is expected of it."""

from __future__ import annotations

from rmtui.presets import Preset
from rmtui.translation import tr
from trainer.config import flatten


def brief(preset: Preset) -> str:
    """The settings of a preset in a line."""
    flat = flatten(preset.config)
    shown = {
        "num_epochs": "epochs",
        "learning_rate": "rate",
        "batch_size": "batch",
        "gradient_accumulation_steps": "×",
        "lora.r": "r",
        "lora.alpha": "alpha",
        "lora.dropout": "dropout",
        "lr_scheduler": "",
    }
    from rmtui.i18n import value_text

    parts = [f"{tr(word)} {value_text(key, flat[key])}".strip() for key, word in shown.items() if key in flat]
    return " · ".join(parts).replace(" · × ", " × ")


def expectation(preset: Preset) -> str:
    """`expected: train_loss 0.55–0.60 · val_acc 73–76 %`; of the guide's own numbers `expected on the guide's base: …`.
    Empty where no metric is given."""
    from rmtui.guide.published_figures import PRESET_A
    from rmtui.i18n import range_text

    if not preset.expect:
        return ""
    ranges = " · ".join(range_text(metric, *ends) for metric, ends in preset.expect.items())
    if {metric: tuple(ends) for metric, ends in preset.expect.items()} == dict(PRESET_A):
        return f"expected on the guide's base: {ranges}"
    return f"expected: {ranges}"
