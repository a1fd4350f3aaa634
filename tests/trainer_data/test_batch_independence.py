"""Models whose rewards depend on the other rows of a batch: each text gets the reward that it has alone."""

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.models.bert.modeling_bert import BertEmbeddings, BertOutput

from trainer.data.batches import collate
from trainer.model import base_facts, reward
from trainer.spec import Refused

MIXES_PADDING = ("fnet", "nystromformer", "convbert", "yoso")
"""Fourier transforms, landmarks, convolutions and hashes that reach into the padding."""
PAIRS = worlds.token_pairs(4)


def alone(made, pairs):
    """Each side by itself in plain transformers, chosen sides first."""
    with torch.no_grad():
        sides = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        logits = [made.eval().inner(input_ids=torch.from_numpy(side).long()[None]).logits for side in sides]
    return torch.cat(logits)[:, 0]


def in_a_batch(made, layout):
    with torch.no_grad():
        return made.eval()(collate(PAIRS, layout))


def encoder(folder, kind="bert", **more):
    return bases.make(kind, folder / "base", encoder=True, **more)


@pytest.mark.parametrize("kind", MIXES_PADDING)
def test_a_type_that_mixes_padding_into_rewards_is_computed_without_padding(kind, tmp_path):
    made, _ = worlds.load(encoder(tmp_path, kind))
    assert made.layout.apart == "lengths"
    wanted = alone(made, PAIRS)
    assert torch.allclose(in_a_batch(made, made.layout), wanted, atol=2e-6 * float(wanted.abs().max()))
    together = in_a_batch(made, worlds.padded(made.layout))
    assert (together - wanted).abs().max() > 1e-4, "in one padded batch it gives other rewards"


def test_experts_with_a_capacity_score_each_row_by_itself(tmp_path, monkeypatch):
    """Tokens beyond what an expert takes of a batch keep their old state, as in Switch Transformers."""
    usual = BertOutput.forward

    def routed(self, hidden, before):
        found = usual(self, hidden, before)
        first = (before[..., 0] > 0).flatten()
        free = torch.zeros_like(first)
        for expert in (first, ~first):
            free |= expert & (expert.cumsum(0) <= 9)
        return torch.where(free.view(*before.shape[:-1], 1), found, before)

    monkeypatch.setattr(BertOutput, "forward", routed)
    base = encoder(tmp_path)
    for unpadded in (True, False):
        made, _ = worlds.load(base, unpadded=unpadded)
        assert (made.layout.unpadded, made.layout.apart) == (False, "rows")
        assert torch.allclose(in_a_batch(made, made.layout), alone(made, PAIRS), atol=1e-6)


def test_the_gradient_of_rows_apart_is_that_of_plain_transformers(tmp_path):
    made, _ = worlds.load(encoder(tmp_path, "fnet"))
    weights = [one for one in made.parameters() if one.requires_grad]
    batch = collate(PAIRS, made.layout)
    assert len(batch.groups) < 2 * len(PAIRS), "rows of one length go together"
    found = torch.autograd.grad((made(batch) * torch.arange(8)).sum(), weights)
    sides = [pair.chosen for pair in PAIRS] + [pair.rejected for pair in PAIRS]
    wanted = [torch.zeros_like(one) for one in weights]
    for place, side in enumerate(sides):
        reward_alone = made.inner(input_ids=torch.from_numpy(side).long()[None]).logits[0, 0] * place
        for held, part in zip(wanted, torch.autograd.grad(reward_alone, weights), strict=True):
            held += part
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, wanted, strict=True))


def test_batch_statistics_are_those_of_evaluation_while_it_trains(tmp_path):
    classifier = AutoModelForSequenceClassification.from_pretrained(encoder(tmp_path), num_labels=1)

    class OverTokens(nn.BatchNorm1d):
        def forward(self, hidden):
            return super().forward(hidden.flatten(0, 1)).view_as(hidden)

    over = OverTokens(32)
    nn.init.normal_(over.running_mean)
    classifier.base_model.embeddings.LayerNorm = over
    assert base_facts.silence(classifier) == ""
    ids = torch.randint(5, 100, (3, 7))
    with torch.no_grad():
        trained, evaluated = classifier.train()(ids).logits, classifier.eval()(ids).logits
    assert torch.equal(trained, evaluated)
    assert over.num_batches_tracked == 0


@pytest.mark.parametrize("training_only", [True, False])
def test_noise_that_no_number_shows_is_reported_or_refused(training_only, tmp_path, monkeypatch):
    usual = BertEmbeddings.forward

    def noisy(self, *given, **named):
        return nn.functional.dropout(usual(self, *given, **named), 0.1, self.training or not training_only)

    monkeypatch.setattr(BertEmbeddings, "forward", noisy)
    base = encoder(tmp_path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    if training_only:
        assert "draws random numbers" in worlds.load(base)[0].noise
    else:
        with pytest.raises(Refused, match="random numbers in evaluation"):
            worlds.load(base)


def test_a_model_that_trains_otherwise_than_it_evaluates_is_reported(tmp_path, monkeypatch):
    usual = BertEmbeddings.forward

    def scaled(self, *given, **named):
        return usual(self, *given, **named) * (1.5 if self.training else 1)

    monkeypatch.setattr(BertEmbeddings, "forward", scaled)
    assert "other rewards while it trains" in worlds.load(encoder(tmp_path))[0].noise


def test_a_head_of_zeros_hides_nothing_from_the_probes(tmp_path):
    base = encoder(tmp_path, "fnet")
    made, tokenizer = worlds.load(base)
    made.inner.merge_and_unload().save_pretrained(base)
    classifier = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    nn.init.zeros_(classifier.classifier.weight)
    assert reward.layout_for(classifier, tokenizer, worlds.config(base)).apart == "lengths"
    assert not classifier.classifier.weight.any()
