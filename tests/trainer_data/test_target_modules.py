"""Which layers `auto` adapts in families with names of their own, and how much of the model that is."""

import base_worlds as bases
import data_worlds as worlds
import pytest

from trainer.model import reward
from trainer.spec import Refused

EXPECTED = {
    "deberta-v2": {"query_proj", "key_proj", "value_proj", "dense"},
    "deberta": {"in_proj", "dense"},
    "llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "opt": {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"},
    "gptj": {"q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"},
    "mpnet": {"q", "k", "v", "o", "dense"},
}


def adapted_names(made):
    return {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in made.named_parameters() if "lora_A" in name}


@pytest.mark.parametrize("kind", EXPECTED)
def test_auto_finds_the_projections_of_a_families_layers(kind, tmp_path):
    more = {"gptj": {"rotary_dim": 4}}.get(kind, {})
    base = bases.make(kind, tmp_path / "base", encoder=kind in ("deberta-v2", "deberta", "mpnet"), **more)
    made, _ = worlds.load(base)
    assert adapted_names(made) == EXPECTED[kind]
    assert made.coverage > 0.8


def test_experts_that_are_no_linear_layers_are_counted_as_not_reached(tmp_path):
    base = bases.make("mixtral", tmp_path / "base", num_local_experts=4, num_experts_per_tok=2, hidden_size=48)
    made, _ = worlds.load(base)
    assert made.coverage < 0.8


def test_a_resume_takes_the_target_modules_of_its_checkpoint(models, tmp_path):
    few, _ = worlds.load(models / "decoder", lora={"target_modules": ["q_proj"], "r": 4})
    few.inner.save_pretrained(tmp_path)
    again, _ = reward.load(worlds.config(models / "decoder", lora={"r": 4}), tmp_path)
    assert adapted_names(again) == {"q_proj"}


@pytest.mark.parametrize("kind", ["deepseek_v2", "hunyuan_v1_moe"])
def test_projections_that_peft_takes_for_experts_are_left_out_by_auto_and_refused_by_name(kind, tmp_path):
    """peft 0.21 adapts the experts' weights where gate_proj, up_proj and down_proj are asked for, which allows no
    dropout, and would do so again in every load."""
    base = bases.make(kind, tmp_path / "base")
    made, _ = worlds.load(base, lora={"r": 4, "dropout": 0.1})
    settings = made.inner.peft_config["default"]
    assert not settings.target_parameters
    assert {"o_proj"} <= set(settings.target_modules)
    assert made.coverage < 0.8, "which the start warns of"
    for named in (["gate_proj", "up_proj"], ["q_proj", "down_proj"], ["all-linear"]):
        with pytest.raises((Refused, ValueError), match=r"lora\.target_modules"):
            worlds.load(base, lora={"r": 4, "dropout": 0.1, "target_modules": named})
    experts, _ = worlds.load(base, lora={"r": 4, "dropout": 0.0, "target_parameters": ["auto"]})
    assert experts.coverage > made.coverage


def test_projections_of_a_kind_that_lora_cannot_adapt_are_refused_with_what_to_do(tmp_path):
    base = bases.make("ibert", tmp_path / "base", encoder=True)
    for named in (["auto"], ["query"]):
        with pytest.raises(Refused, match=r"not QuantLinear.*method = full.*lora\.target_modules"):
            worlds.load(base, lora={"target_modules": named})
    assert worlds.load(base, method="full")
