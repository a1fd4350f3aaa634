"""Small models, pairs and configurations that the tests of this folder share."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainer.config import build
from trainer.data.pairset import TokenPair
from trainer.model import reward, toy

SHARED = Path(__file__).parents[3] / "shared" / "data"
WORDS = [
    *("rain", "bread", "river", "stone", "music", "window", "garden", "letter"),
    *("summer", "engine", "paper", "horse", "light", "winter", "table"),
]


def sentences(count, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, size=random.integers(3, 12))) for _ in range(count)]


def rows(count, seed=1):
    prompts, good, bad = (sentences(count, seed + part) for part in range(3))
    return [
        {
            "id": f"p{n}",
            "prompt": f"\n\nHuman: {prompts[n]}?\n\nAssistant:",
            "chosen": f" {good[n]}",
            "rejected": f" {bad[n]}.",
        }
        for n in range(count)
    ]


def write_rows(path, made):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    return path


def config(folder, **changes):
    given = {"model": str(folder), "max_length": 64, "token_cache": False, "lora": {"dropout": 0.0, "r": 4}}
    return build(given | changes)


def load(folder, **changes):
    return reward.load(config(folder, **changes))


def token_pairs(count, seed=0, vocabulary=200, shared=None):
    """Pairs of random tokens with prefixes of different lengths, some without any."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        prefix = random.integers(5, vocabulary, (number * 7) % 23 if shared is None else shared)
        sides = [np.concatenate([prefix, random.integers(5, vocabulary, random.integers(2, 30))]) for _ in range(2)]
        sides[1][len(prefix)] = (sides[0][len(prefix)] + 1) % vocabulary
        chosen, rejected = (side.astype(np.int32) for side in sides)
        made.append(TokenPair(f"t{number:03d}", chosen, rejected, len(prefix), 0, margin=number / 10, row=number))
    return made


def make_models(folder):
    texts = sentences(200)
    toy.make_decoder(folder / "decoder", texts, vocabulary=300, hidden=32, heads=4, key_value_heads=2)
    toy.make_encoder(folder / "encoder", texts, vocabulary=300, hidden=32)
    toy.make_decoder(folder / "pad_is_end", texts, vocabulary=300, hidden=32, pad_is_end=True)
    return folder


def padded(layout):
    """The same rows in one padded batch."""
    return replace(layout, unpadded=False, share_prefix=False, one_call=False, apart="")
