"""The model card's words."""

from trainer.release import card
from trainer.release.origin import Origin


def test_every_validation_set_has_a_line_with_its_fingerprint():
    origin = Origin(fingerprints={"train": "aa", "extra_val": {"easy": "bb"}})
    assert "| train | `aa` |\n| extra_val.easy | `bb` |\n" in card.text(origin, "llama")
