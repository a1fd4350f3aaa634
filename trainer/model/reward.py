"""The reward model: a pretrained sequence classifier with one output, LoRA or full, decoder or encoder.

What it adds to transformers' AutoModelForSequenceClassification is how rewards are computed: without padding, without
computing a shared prefix twice, pooled by place and not by pad id, with a head that stays float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.config import TrainConfig
from trainer.data.batches import Batch, Layout
from trainer.model import attention, base_facts, fused_lora, head, independence, last_layer, malloc, stored, varlen
from trainer.model.load_errors import refusing
from trainer.model.lora import (
    PEFT_HEADS,
    adapter_weights,
    add_lora,
    coverage,
    format_to_read,
    fuse,
    gathers_by_module,
    refuse_incomplete,
    refuse_unheld,
    saved_settings,
    trained_rows,
)
from trainer.model.pretrained import (
    LoadReport,
    init_head,
    load_classifier,
    load_tokenizer,
    new_parts,
    pad_id,
    refuse_new,
    refuse_quantized,
    tokens,
)

PADDED_ROWS = {
    "": "padded rows",
    independence.LENGTHS: "rows of one length together, without padding: this model's rewards depend on padding",
    independence.ROWS: "each row by itself: this model's rewards depend on the other rows of a batch",
}
"""`Layout.apart` in words."""


class RewardModel(nn.Module):
    """`forward(batch)` gives rewards [2 × pairs], float32: the chosen sides, then the rejected ones.

    `inner` is what is saved and loaded: a transformers model, or a PeftModel around one.
    """

    def __init__(self, inner: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.inner = inner
        self.layout = layout
        self.trimmed = False
        """The last layer is computed for the scored tokens only."""
        self.new_parts: tuple[str, ...] = ()
        """Modules whose weights the base did not hold: trained whole and saved."""
        self.coverage = 1.0
        """Share of the body's weights, embeddings aside, that are trained or have an adapter."""
        self.noise = ""
        """What the base draws at random in training and cannot be switched off, in words."""
        self.unused: tuple[str, ...] = ()
        """Weights of the base that this model has no place for: a language model's head, say."""

    @property
    def classifier(self) -> PreTrainedModel:
        """The transformers model inside."""
        found = self.inner.get_base_model() if isinstance(self.inner, PeftModel) else self.inner
        assert isinstance(found, PreTrainedModel)
        return found

    @cached_property
    def positions(self) -> int | None:
        """Tokens beyond which the model has no positions; None where positions are computed."""
        return base_facts.position_limit(self.classifier)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, batch: Batch) -> Tensor:
        batch = batch.to(self.device)
        if batch.groups:
            return self._group_by_group(batch)
        model: Any = self.classifier
        if hasattr(model, "score") and not self.layout.as_a_whole:
            hidden = self._hidden(model.base_model, batch).flatten(0, 1)[batch.scored]
            return self._float(model.score(hidden))
        if batch.blocks:  # the BERT family: see `layout_for`
            first = self._hidden(model.base_model, batch).flatten(0, 1)[batch.scored]
            return self._float(model.classifier(model.base_model.pooler(first[:, None])))
        return self._float(model(input_ids=batch.ids, attention_mask=batch.mask).logits)

    def _group_by_group(self, batch: Batch) -> Tensor:
        """Rewards of a padded batch whose rows may not all be computed in one call."""
        found = torch.cat([self(batch.part(group)) for group in batch.groups])
        order = torch.tensor([row for group in batch.groups for row in group.rows], device=found.device)
        return found[torch.argsort(order)]

    def _hidden(self, backbone: nn.Module, batch: Batch) -> Tensor:
        """Last hidden states in the layout of `batch.ids`; of a trimmed last layer only the scored ones are right."""
        more: dict[str, Any] = {"attention_mask": batch.mask}
        if batch.blocks:
            whole = torch.empty(1, 1, 1, 1, device=batch.ids.device)  # four dimensions: "the mask is already made"
            more = {"attention_mask": whole, "pair_blocks": batch.blocks}
            if self.trimmed:
                more[last_layer.SCORED] = batch.scored
            if batch.sequences is not None:
                more["pair_sequences"] = batch.sequences
        out = backbone(input_ids=batch.ids, position_ids=batch.positions, use_cache=False, **more)
        hidden: Tensor = out.last_hidden_state
        return hidden

    @staticmethod
    def _float(logits: Tensor) -> Tensor:
        """[n, 1] → [n], float32."""
        return logits.squeeze(-1).float()


def rewards(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """(chosen [n], rejected [n]), float32. `model` may be wrapped (DDP, FSDP)."""
    chosen, rejected = model(batch).float().chunk(2)
    return chosen, rejected


def load(config: TrainConfig, like: Path | None = None) -> tuple[RewardModel, Any]:
    """Model and tokenizer, ready to train, on the CPU; new weights depend on `config.seed` only. Weights are float32,
    but for frozen ones that can stay in the half precision of their files (`trainer.model.stored`).

    The model's own dropout is off, as usual for reward models; the adapter's is what the configuration says. `like` is
    the folder whose weights the caller puts in afterwards: of its adapter the form is taken, and where the training
    goes on from an earlier one, its tokenizer.
    """
    malloc.return_freed()
    trusted = config.trust_remote_code
    own = config.init_from and like is not None and (like / "tokenizer_config.json").is_file()
    with refusing(config.model, trusted):
        refuse_quantized(config.model, trusted)
        tokenizer = load_tokenizer(str(like) if own else config.model, trusted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        rows = max(trained_rows(like), tokens(tokenizer) if config.resize_embeddings else 0)
        with refusing(config.model, trusted):
            classifier, report = load_kept(config, tokenizer, rows, like)
        with stored.as_float32(classifier):
            parts = new_parts(classifier, report, config.model, config.fresh_head)
            if not config.init_from:
                init_head(classifier, parts, config.head_init, config.model)
            if like is not None and (like / "adapter_config.json").is_file():
                refuse_unheld(parts, like)
            base_facts.refuse_not_finite(classifier, config.model)
            noise = base_facts.silence(classifier)
            layout = layout_for(classifier, tokenizer, config)
        inner: nn.Module = classifier
        if config.method == "lora":
            inner = add_lora(classifier, config, parts, like, report.grown)
        stored.settle(inner)
    if config.gradient_checkpointing:
        enable: Any = classifier.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    made = finished(inner, layout, config)
    made.new_parts, made.unused, made.noise = parts, report.unexpected, noise
    made.coverage = coverage(inner) if isinstance(inner, PeftModel) else 1.0
    malloc.keep_freed()
    return made, tokenizer


def load_kept(config: TrainConfig, tokenizer: Any, rows: int, like: Path | None) -> tuple[PreTrainedModel, LoadReport]:
    """The base model with weights in the format of its files where they can stay in it, else float32. `like` is the
    folder of an adapter that goes on."""
    state, settings, trusted = torch.get_rng_state(), saved_settings(like), config.trust_remote_code
    # Others are made from the weights, and what peft would copy has to be what it is.
    copied = set() if settings is None else {*(settings.modules_to_save or ())} - {*PEFT_HEADS}
    drawn = settings is None or (settings.init_lora_weights is True and not copied)
    kept = stored.format_to_keep(config) if drawn and not rows else None
    if kept is not None:
        classifier, report = load_classifier(config.model, tokenizer, trusted, dtype=kept)
        if hasattr(classifier, "score") and stored.computes(classifier):
            return classifier, report
        torch.set_rng_state(state)
    return load_classifier(config.model, tokenizer, trusted, rows)


def finished(inner: nn.Module, layout: Layout, config: TrainConfig) -> RewardModel:
    """The reward model, its last layer trimmed where that changes no reward."""
    made = RewardModel(inner, layout)
    head.leave_autocast(made.classifier)
    if config.trim_last_layer and layout.unpadded and not gathers_by_module():
        plain = probed(made, layout)
        undo = last_layer.trim(made.classifier.base_model)
        made.trimmed = True
        if not independence.same(plain, probed(made, layout)):
            made.trimmed = False
            undo()
    return made


def layout_for(classifier: PreTrainedModel, tokenizer: Any, config: TrainConfig) -> Layout:
    """The fastest layout that is exact for this model."""
    scores = hasattr(classifier, "score")
    causal = scores and base_facts.reads_last(classifier)
    bert = hasattr(classifier, "classifier") and classifier.config.model_type == "bert"
    padded = Layout(
        pad_id(tokenizer),
        unpadded=False,
        share_prefix=False,
        pool_first=bert,
        as_a_whole=not (causal or bert),
        pad_left=scores and tokenizer.padding_side == "left",
    )
    if (causal or bert) and config.unpadded and not looks_at_parts(classifier, config.max_length):
        attention.register()
        usual = classifier.config._attn_implementation
        classifier.set_attn_implementation(attention.NAME)
        fast = replace(padded, unpadded=True, share_prefix=causal and config.share_prefix)
        if layouts_agree(classifier, fast):
            return fast
        classifier.set_attn_implementation(usual)
    return replace(padded, apart=rows_apart(RewardModel(classifier, padded)))


def rows_apart(model: RewardModel) -> str:
    """How padded rows have to be computed so that no reward depends on another row (`Layout.apart`)."""
    plain = replace(model.layout, unpadded=False, share_prefix=False, one_call=False, apart="")
    with _evaluating(model):
        return independence.apart(model.classifier, model, plain)


def looks_at_parts(classifier: PreTrainedModel, longest: int) -> bool:
    """Some layers see less than everything before a token: a sliding window, say."""
    settings: Any = classifier.config.get_text_config()
    kinds = set(getattr(settings, "layer_types", None) or ["full_attention"])
    window = getattr(settings, "sliding_window", None) if getattr(settings, "use_sliding_window", True) else None
    return kinds != {"full_attention"} or (window is not None and window < longest)


def layouts_agree(classifier: PreTrainedModel, fast: Layout) -> bool:
    """Whether this model's rewards in a layout are those of each row by itself, on pairs of random tokens."""
    probe = RewardModel(classifier, fast)
    alone = replace(fast, unpadded=False, share_prefix=False, apart=independence.ROWS)
    return independence.same(probed(probe, fast), probed(probe, alone))


def probed(model: RewardModel, layout: Layout) -> Tensor | None:
    """Rewards of some pairs of random tokens; None where the model's family cannot compute in this layout."""
    with _evaluating(model), head.visible(model.classifier):
        return independence.rewards(model, independence.crowd(model.classifier), layout)


@contextmanager
def _evaluating(model: RewardModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def choose_attention(model: RewardModel, device: torch.device, precision: str) -> str:
    """Let the model attend in one call a layer where it is computed in half precision on a GPU that can; returns which
    way was taken, in words."""
    layout = model.layout
    if not layout.unpadded:
        return PADDED_ROWS[layout.apart]
    way = "shared prefixes once, no padding" if layout.share_prefix else "no padding"
    why = varlen.why_not(device, fused_lora.FORMATS.get(precision), model.classifier.config.get_text_config())
    model.layout = replace(layout, one_call=not why)
    if device.type == "cpu":
        return way
    return f"{way}; {'one attention call a layer' if not why else f'attention pair by pair: {why}'}"


def load_trained(folder: Path, config: TrainConfig, mapped: bool = False) -> tuple[RewardModel, Any]:
    """What a training saved: an adapter with its head over the base model, or a whole model. Not for training on.
    `mapped`: the base's weights stay in the half precision of their files where they can, and are float32 in calls."""
    settings, trusted = folder / "adapter_config.json", config.trust_remote_code
    base = str(json.loads(settings.read_bytes())["base_model_name_or_path"]) if settings.exists() else str(folder)
    with refusing(base, trusted, trains=False):
        tokenizer = load_tokenizer(str(folder), trusted)
        classifier, report = _load_base(base, tokenizer, folder, trusted, mapped)
    refuse_new(report, str(folder), adapter_weights(folder) if settings.exists() else ())
    base_facts.refuse_not_finite(classifier, base)
    layout = layout_for(classifier, tokenizer, config)
    if not settings.exists():
        return finished(classifier, layout, config).eval(), tokenizer
    inner = PeftModel.from_pretrained(classifier, folder)
    refuse_incomplete(inner, folder)
    fuse(inner, config)
    return finished(inner, layout, config).eval(), tokenizer


def _load_base(
    base: str, tokenizer: Any, folder: Path, trusted: bool, mapped: bool
) -> tuple[PreTrainedModel, LoadReport]:
    kept = format_to_read(Path(base), folder) if mapped else None
    if kept is not None:
        classifier, report = load_classifier(base, tokenizer, trusted, dtype=kept)
        if hasattr(classifier, "score") and stored.computes(classifier):
            stored.read_only(classifier)
            return classifier, report
    return load_classifier(base, tokenizer, trusted, trained_rows(folder))


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """(trained, all)."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def position_limit(model: RewardModel) -> int | None:
    """Tokens beyond which the model has no positions (learned embeddings); None where positions are computed."""
    return model.positions
