"""The longest text that a model computes. Some models have a bound that no table of positions shows (MPT's ALiBi
biases), and would fail in the middle of a training, at the first text beyond it."""

from __future__ import annotations

import numpy as np
import torch

from trainer import ranks
from trainer.data.batches import collate
from trainer.data.pairset import TokenPair
from trainer.data.truncate import Ids
from trainer.model.independence import CANNOT
from trainer.model.reward import RewardModel
from trainer.remedies import first_line

SHORTEST = 8
"""Tokens, the least that max_length may be: a model that fails on so few does not fail because of the length."""


def too_long(model: RewardModel, text: Ids) -> str:
    """Why the model cannot compute this text, with the length that it can; empty where the length is not the cause.

    Call it under the autocast of the training. Raises what torch raises where memory runs out.
    """
    wrong = _error(model, text)
    if not wrong:
        return ""
    fits, fails = 0, len(text)
    while fails - fits > 1:
        middle = (fits + fails) // 2
        shorter = np.concatenate([text[: middle - 1], text[-1:]])
        fits, fails = (fits, middle) if _error(model, shorter) else (middle, fails)
    if fits < SHORTEST:
        return ""
    return (
        f"cannot compute a text of {len(text)} tokens ({wrong}); {fits} are the most that it can: set "
        f"max_length = {fits}"
    )


def _error(model: RewardModel, text: Ids) -> str:
    """What the model says of this text; empty where it computes a reward."""
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(collate([TokenPair("", text, text, 0, 0)], model.layout))
    except CANNOT as error:
        if ranks.of_memory(error):
            raise
        return first_line(error)
    finally:
        model.train(training)
    return ""
