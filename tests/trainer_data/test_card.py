"""The model card's words."""

import pytest

from trainer.loop.round_trip import RoundTrip
from trainer.release import card
from trainer.release.origin import Origin


def measured(**padded):
    return card.Facts(
        "last token", False, RoundTrip(2e-7, padded, "right", 1e-5, 1.2), "8 pairs of the validation file"
    )


def test_every_validation_set_has_a_line_with_its_fingerprint():
    origin = Origin(fingerprints={"train": "aa", "extra_val": {"easy": "bb"}})
    assert "| train | `aa` |\n| extra_val.easy | `bb` |\n" in card.text(origin, measured(right=0.0, left=0.0))


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (1e-7, "on the left they give the same rewards"),
        (0.4, "by up to 0.4"),
        (None, "on the left they cannot be made"),
    ],
)
def test_the_card_says_what_padded_batches_give(left, words):
    made = card.text(Origin(), measured(right=3e-7, left=left))
    assert "on the right, as this tokenizer pads, they give the same rewards (to 3.0e-07)" in made
    assert words in made
