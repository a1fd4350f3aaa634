"""Experts of MoE models, which are parameters and not linear layers: adapted, saved, and loaded by plain peft."""

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch

from trainer.config import build, check_inputs
from trainer.data.batches import collate
from trainer.loop import setup
from trainer.loop.start_check import nudged, unsaved
from trainer.model import plain, reward
from trainer.spec import Refused

PAIRS = worlds.token_pairs(4)
SIDES = [side.tolist() for side in (*(pair.chosen for pair in PAIRS), *(pair.rejected for pair in PAIRS))]
LORA = {"r": 2, "dropout": 0.0, "target_parameters": ["auto"]}
KINDS = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "hidden_size": 48},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "hidden_size": 48},
}


@pytest.mark.parametrize("kind", KINDS)
def test_experts_are_trained_saved_and_loaded_by_plain_peft(kind, tmp_path):
    base = bases.make(kind, tmp_path / "base", **KINDS[kind])
    made, tokenizer = worlds.load(base, lora=LORA)
    assert made.coverage > 0.9
    assert made.inner.peft_config["default"].target_parameters == {"mlp.experts.down_proj", "mlp.experts.gate_up_proj"}
    with nudged(made, seed=3):
        found = made(collate(PAIRS, made.layout))
        found.sum().backward()
        experts = [one for name, one in made.named_parameters() if "experts" in name and one.requires_grad]
        assert len(experts) == 8 and all(float(one.grad.abs().max()) > 0 for one in experts)
        made.inner.save_pretrained(tmp_path / "saved")
        tokenizer.save_pretrained(tmp_path / "saved")
        rewards = found.tolist()
    allowed = plain.tolerance(rewards, "no")
    assert (
        plain.largest_difference(rewards, plain.load(tmp_path / "saved", torch.device("cpu")).alone(SIDES)) <= allowed
    )
    config = worlds.config(base, lora=LORA, init_from=str(tmp_path / "saved"), seed=9)
    assert [str(one) for one in check_inputs(config) if one.key == "init_from"] == []
    for again in (reward.load_trained(tmp_path / "saved", config)[0], setup.load_model(config)[0].eval()):
        with torch.inference_mode():
            assert plain.largest_difference(rewards, again(collate(PAIRS, again.layout)).tolist()) <= allowed
    assert unsaved(made) == []


def test_what_cannot_be_done_is_refused(models, tmp_path):
    with pytest.raises(Refused, match="which has none"):
        worlds.load(models / "decoder", lora=LORA)
    given = {"model": str(models / "decoder"), "lora": LORA | {"dropout": 0.1, "dora": True}}
    said = " ".join(map(str, check_inputs(build(given))))
    assert "set lora.dropout = 0" in said and "lora.dora: " in said
    base = bases.make("mixtral", tmp_path / "base", **KINDS["mixtral"])
    with pytest.raises(Refused, match=r"mlp.experts.down_proj, mlp.experts.gate_up_proj"):
        worlds.load(base, lora=LORA | {"target_parameters": ["experts.nothing"]})
    few, _ = worlds.load(base, lora=LORA | {"target_parameters": ["mlp.experts.down_proj"]})
    assert few.coverage < 0.8
    few.inner.save_pretrained(tmp_path / "few")
    given = {"model": str(base), "init_from": str(tmp_path / "few"), "lora": LORA | {"target_parameters": []}}
    assert "lora.target_parameters = auto" in " ".join(map(str, check_inputs(build(given))))
