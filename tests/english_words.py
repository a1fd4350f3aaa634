"""English words in a text that is to be Chinese: what is left without names of options, metrics, files and programs."""

from __future__ import annotations

import re

from trainer.config import OPTIONS, options

_NAMES = """
rmtui accelerate transformers peft torch trackio tensorboard wandb DeepSpeed DeepSpeed-Chat FSDP TensorBoard
MLflow Markdown McNemar LoRA JSON AutoModelForSequenceClassification GPU CPU MIG hub shell git shard PR NaN
token tokens rank ranks batch alpha prompt response chosen rejected train val loss margin world size lines id
state name created best last latest wrong close tied regressed fixed suspect failed tag since preset lr en zh
own tar json markdown html cpu cuda fpath compinit demo x y h d s min of dark light high-contrast colour-blind
16-colours Esc Tab PgDn enter jsonl
esc del pgup pgdn home end space tab shift ctrl bksp f Ctrl-C ssh Python SQLite GiB MiB
pid pip install requirements lfs pull Git LFS wsd MoE DoRA RMSNorm AdamW arXiv Llama UTF InternLM2 fg pysqlite3
logind loginctl enable-linger KillUserProcesses flock Lustre NFS lockd length longer tokenizers bitsandbytes
pyarrow textual-serve good bad first second preferred int text SIGTERM ext cd
BOS Slurm slurm launcher sbatch sinfo scontrol release gres
launch trainer run-dir attempt-dir
config resume score runs epochs
"""
NAMES = set(_NAMES.split())
"""Names that Chinese engineers write as they are: programs, formats, the keys of files and filters, keyboard keys."""
NAMES |= {part for key in OPTIONS for part in key.split(".")} | {word for o in options() for word in o.meta.choices}
NAMES |= {"true", "false", "auto", "all-linear", "none"}


def english_words(text: str) -> list[str]:
    """Words of two letters and more that are no name: code in backticks, options, paths and numbers aside."""
    text = re.sub(r"\{[^}]*\}|`[^`]*`|(?<![\w-])--?[A-Za-z][\w-]*|\brmtui(?: [a-z]+| [A-Z]+)+", "", text)
    found = []
    for word in re.findall(r"[A-Za-z][\w./=:@*+\-…&%]*", text, re.ASCII):
        word = word.rstrip(".:+")
        if len(word) > 1 and not re.search(r"[_./=@*:…\d%&+]", word) and not word.isupper() and word not in NAMES:
            found.append(word)
    return found
