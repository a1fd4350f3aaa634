"""Number formats: `auto` follows the GPUs, what is asked for stays, and a resume keeps its checkpoint's."""

import json

import pytest
import support

from rmtui.launch import command, gpus
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from trainer import precision

AMPERE, VOLTA, HOPPER = (8, 0), (7, 0), (9, 0)


@pytest.mark.parametrize(
    ("asked", "cards", "before", "wanted"),
    [
        ("auto", [], "", "no"),
        ("auto", [AMPERE], "", "bf16"),
        ("auto", [HOPPER, VOLTA], "", "no"),
        ("auto", [HOPPER, HOPPER], "", "bf16"),
        ("auto", [(7, 5)], "", "no"),
        ("no", [HOPPER], "", "no"),
        ("fp16", [HOPPER], "", "fp16"),
        ("bf16", [], "", "bf16"),
        ("auto", [HOPPER], "no", "no"),
        ("auto", [HOPPER], "fp16", "fp16"),
        ("auto", [VOLTA], "bf16", "no"),
        ("auto", [], "bf16", "no"),
        ("bf16", [HOPPER], "no", "bf16"),
    ],
)
def test_auto_is_bf16_where_every_card_has_it(asked, cards, before, wanted):
    assert precision.resolve(asked, cards, before) == wanted


def cards(monkeypatch, *found):
    made = [gpus.Gpu(str(n), f"GPU-{n}", capability=one) for n, one in enumerate(found)]
    monkeypatch.setattr(gpus, "gpus", lambda: made)


def shown(planned):
    return planned.command.argv[planned.command.argv.index("--mixed_precision") + 1], planned.precision


def test_the_plan_says_what_auto_becomes_and_why(ws, monkeypatch):
    def planned(devices="", **overrides):
        return shown(plan(ws, LaunchRequest("A", overrides, devices=devices), check_data=False))

    cards(monkeypatch)
    assert planned() == ("no", "float32 (auto: no GPU)")
    cards(monkeypatch, HOPPER)
    assert planned() == ("bf16", "bf16 (auto: the GPU has it)")
    assert planned("cpu") == ("no", "float32 (auto: no GPU)")
    assert planned(mixed_precision="no") == ("no", "float32")
    cards(monkeypatch, HOPPER, VOLTA)
    assert planned()[0] == "no"
    assert planned("0")[0] == "bf16"


def test_less_memory_is_told_where_auto_is_bf16(ws, monkeypatch):
    base = ws.root / "base"
    base.mkdir()
    figures = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 4}
    (base / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 100, **figures}))
    sizes = []
    for found in ((), (HOPPER,)):
        cards(monkeypatch, *found)
        sizes.append(plan(ws, LaunchRequest("A", model=str(base)), check_data=False).sizes)
    assert 2 * sizes[1].activations_bytes == sizes[0].activations_bytes


def test_a_spec_from_before_auto_keeps_its_format(ws, monkeypatch):
    cards(monkeypatch, HOPPER)
    run = support.make_run_folder(ws, config={**support.config(), "mixed_precision": "no"})
    assert command.job_of({**run.spec(), "launch": {"device": "gpu"}}).mixed_precision == "no"
