"""bf16 and fp16: every path computes, also the one that GPUs take, and what is saved loads with the same rewards."""

import data_worlds as worlds
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
)

from trainer.data.batches import collate
from trainer.loop.loss import pair_loss
from trainer.model import attention, pretrained
from trainer.model import reward as model

PAIRS = worlds.token_pairs(5)
FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
ENCODERS = {
    "bert": lambda: BertModel(BertConfig(vocab_size=300, initializer_range=0.2, **SMALL)),
    "roberta": lambda: RobertaModel(RobertaConfig(vocab_size=300, initializer_range=0.2, **SMALL)),
    "electra": lambda: ElectraModel(ElectraConfig(vocab_size=300, embedding_size=32, initializer_range=0.2, **SMALL)),
    "deberta": lambda: DebertaV2Model(DebertaV2Config(vocab_size=300, initializer_range=0.2, **SMALL)),
    "distilbert": lambda: DistilBertModel(
        DistilBertConfig(vocab_size=300, dim=32, hidden_dim=64, n_layers=2, n_heads=4, initializer_range=0.2)
    ),
}


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Attention without the conversion to float32 that CPUs get."""
    monkeypatch.setattr(attention, "FLOAT32_ON", frozenset())


def moved(reward_model):
    """The model with adapters that are not zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for _, parameter in sorted(reward_model.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.05)
    return reward_model


def scores(reward_model, precision):
    with torch.no_grad(), torch.autocast("cpu", dtype=FORMATS[precision]):
        return reward_model.eval()(collate(PAIRS, reward_model.layout))


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"share_prefix": False}, {"method": "full"}, {"gradient_checkpointing": True}, {"fused_adapter": False}],
    ids=lambda changes: next(iter(changes), "default"),
)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_gpus_attention_takes_one_format(models, as_on_a_gpu, kind, changes, precision):
    """Rotary embeddings leave query and key in float32 beside a value in half precision."""
    config = worlds.config(models / kind, mixed_precision=precision, **changes)
    reward_model = moved(model.load(config)[0]).train()
    plain = moved(worlds.load(models / kind, **changes)[0]).train()
    batch = collate(PAIRS, reward_model.layout)
    assert batch.blocks
    with torch.autocast("cpu", dtype=FORMATS[precision]):
        chosen, rejected = model.rewards(reward_model, batch)
    pair_loss(chosen, rejected, None, config).sum().backward()
    exact = torch.cat(model.rewards(plain, batch)).detach()
    assert (torch.cat([chosen, rejected]) - exact).abs().max() < 0.1 * exact.std()
    trained = [parameter for parameter in reward_model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)


@pytest.mark.parametrize("unpadded", [True, False])
@pytest.mark.parametrize(
    ("family", "targets"),
    [*((family, "auto") for family in ENCODERS), ("bert", "all-linear"), ("roberta", "all-linear")],
)
def test_what_was_trained_in_bf16_loads_with_the_same_rewards(models, tmp_path, family, targets, unpadded):
    """A head's frozen layer that runs in float32 (BERT's pooler) is not rounded to bf16 while training."""
    base, saved = tmp_path / "base", tmp_path / "saved"
    torch.manual_seed(3)
    ENCODERS[family]().save_pretrained(base)
    tokenizer = pretrained.load_tokenizer(str(models / "encoder"))
    tokenizer.save_pretrained(base)
    changes = {"mixed_precision": "bf16", "unpadded": unpadded, "lora": {"r": 4, "target_modules": [targets]}}
    config = worlds.config(base, **changes)
    reward_model = moved(model.load(config)[0])
    trained = scores(reward_model, "bf16")
    assert not torch.equal(trained, trained.bfloat16().float())
    reward_model.inner.save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    assert torch.equal(scores(model.load_trained(saved, config)[0], "bf16"), trained)
