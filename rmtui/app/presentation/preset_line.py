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
    """`train_loss 0.55–0.60 · val_acc 73–76 %`; empty where no metric is given."""
    parts = []
    for metric, (low, high) in preset.expect.items():
        if metric == "val_acc":
            parts.append(f"val_acc {low * 100:g}–{high * 100:g} %")
        else:
            parts.append(f"{metric} {low:.2f}–{high:.2f}")
    return " · ".join(parts)
