"""Short and foreign names of options, for filters, imported configurations and a hint after a typing error."""

from __future__ import annotations

SHORT = {
    "lr": "learning_rate",
    "epochs": "num_epochs",
    "batch": "batch_size",
    "accumulation": "gradient_accumulation_steps",
    "warmup": "warmup_ratio",
    "schedule": "lr_scheduler",
    "scheduler": "lr_scheduler",
    "r": "lora.r",
    "rank": "lora.r",
    "alpha": "lora.alpha",
    "dropout": "lora.dropout",
}
"""Names that people type."""

ELSEWHERE = {
    "num_train_epochs": "num_epochs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "train_batch_size": "batch_size",
    "accumulation_steps": "gradient_accumulation_steps",
    "grad_accum": "gradient_accumulation_steps",
    "lr_scheduler_type": "lr_scheduler",
    "lr_scheduler_kwargs.min_lr_rate": "lr_floor",
    "optim": "optimizer",
    "model_name": "model",
    "model_name_or_path": "model",
    "base_model": "model",
    "max_seq_length": "max_length",
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "lora.rank": "lora.r",
    "lora.lora_alpha": "lora.alpha",
    "lora.lora_dropout": "lora.dropout",
    "lora_target_modules": "lora.target_modules",
    "lora_target": "lora.target_modules",
    "micro_batch_size": "batch_size",
    "cutoff_len": "max_length",
    "sequence_len": "max_length",
    "model_max_length": "max_length",
    "lr_warmup_ratio": "warmup_ratio",
    "finetuning_type": "method",
    "use_dora": "lora.dora",
    "use_rslora": "lora.rslora",
}
"""Names of the same options in other trainers."""

ALIASES = SHORT | ELSEWHERE
