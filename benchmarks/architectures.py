"""Which base models are exact: type × {LoRA, full} × {float32, bf16} × {train, reload, score, merge, resume}.

`python benchmarks/architectures.py [TYPE…]` makes each type with two layers and random weights from transformers' own
classes, without a network, trains it for four steps through `python -m trainer`, and prints of each way `right`, or
the sentence it is refused with. Anything else is a fault: exit code 1. `all` stands for every type that transformers
can build a sequence classifier of. Every program runs in a process that is forked of one with the libraries loaded, the
fresh process of the round trip, too: it loads plain transformers and peft with another seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from trainer import __main__ as program
from trainer.loop import attempt, round_trip
from trainer.model import toy
from trainer.release import export

LOADED = (attempt, export)
"""Imported here, so that a forked program starts at once."""
STAGES = ("train", "reload", "score", "merge", "resume")
RIGHT = "right"
ALONE = "right alone; padded batches differ, as it says"
NOT_MADE = "not made here"
SECONDS = 150
"""A program may take so long."""
ENCODERS = frozenset(
    (
        *("albert", "bart", "bert", "big_bird", "bigbird_pegasus", "camembert", "canine", "convbert", "data2vec-text"),
        *("deberta", "deberta-v2", "distilbert", "electra", "ernie", "esm", "esmc", "eurobert", "flaubert", "fnet"),
        *(
            "funnel",
            "gte",
            "ibert",
            "jina_embeddings_v3",
            "layoutlm",
            "lilt",
            "longformer",
            "luke",
            "markuplm",
            "mbart",
        ),
        *("megatron-bert", "mobilebert", "modernbert", "mpnet", "mra", "mt5", "mvp", "nomic_bert", "nystromformer"),
        *("perceiver", "plbart", "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer"),
        *("squeezebert", "t5", "tapas", "ultrabert", "umt5", "xlm", "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod"),
        *("layoutlmv2", "layoutlmv3", "mistral4", "modernvbert", "t5gemma", "t5gemma2", "ultravbert", "yoso"),
    )
)
"""Types whose base is an AutoModel with a tokenizer like BERT's, rather than a causal language model."""
ENDED = {"eos_token_id": 2, "bos_token_id": 1, "decoder_start_token_id": 1}
"""[CLS] and [SEP] of the toy tokenizer: models with a decoder read the reward at an end token."""
SCALED = {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 128}
ROTARY = {"rope_theta": 10000.0, "rope_type": "default"}
BOTH_ATTENTIONS = {"layer_types": ["linear_attention", "full_attention"]}
MULTI_HEAD_LATENT = {
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
}
DEEPSEEK = {
    **MULTI_HEAD_LATENT,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "num_key_value_heads": 4,
}
NEEDS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("bart", "bigbird_pegasus", "mbart", "mt5", "mvp", "plbart", "t5", "umt5"), ENDED),
    **dict.fromkeys(("t5gemma", "t5gemma2"), ENDED),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), DEEPSEEK),
    **dict.fromkeys(("qwen3_5_text", "qwen3_next"), BOTH_ATTENTIONS),
    "axk1": {**DEEPSEEK, "mlp_layer_types": ["dense", "sparse"]},
    "axk2": {
        **DEEPSEEK,
        "mlp_layer_types": ["dense", "sparse"],
        "layer_types": ["indexed_attention"] * 2,
        "index_head_dim": 16,
        "index_n_heads": 4,
    },
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"sliding_attention": ROTARY, "full_attention": ROTARY},
    },
    "esmc": {"num_key_value_heads": 4},
    "modernbert-decoder": {"bos_token_id": 1, "cls_token_id": 1, "sep_token_id": 2},
    "qwen3_5": {"text_config": BOTH_ATTENTIONS},
    "gptj": {"rotary_dim": 4},
    "minicpm3": {**MULTI_HEAD_LATENT, "num_key_value_heads": 4},
    "funnel": {"block_sizes": [1, 1], "architectures": ["FunnelModel"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "lilt": {"hidden_size": 48},
    "longformer": {"attention_window": [8, 8]},
    "reformer": {"axial_pos_embds": False},
    "mistral4": {**DEEPSEEK, "rope_parameters": {**ROTARY, "partial_rotary_factor": 0.5, **SCALED}},
    "gpt_oss": {"layer_types": ["sliding_attention", "full_attention"], "num_local_experts": 4},
    "mixtral": {"sliding_window": None, "num_local_experts": 4},
    "jamba": {"use_mamba_kernels": False, "attn_layer_period": 2, "attn_layer_offset": 1},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"]},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"], "mamba_ngroups": 1, "mamba_headdim": 8},
}
"""What else a small configuration of a type needs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way of training one type, and what came of each stage: `right`, `refused: …` or `WRONG: …`."""

    kind: str
    method: str
    precision: str
    stages: dict[str, str]

    @property
    def faults(self) -> list[str]:
        return [text for text in self.stages.values() if text.startswith("WRONG")]

    @property
    def verdict(self) -> str:
        """The row in a word or a sentence."""
        other = [f"{stage}: {text}" for stage, text in self.stages.items() if text not in (RIGHT, ALONE)]
        return other[0] if other else ALONE if ALONE in self.stages.values() else RIGHT


def write_pairs(path: Path, count: int = 16) -> Path:
    """Pairs of different lengths."""
    rows = (
        {
            "prompt": f"how do I do thing {n}?",
            "chosen": " take it and stir" * (1 + n % 4),
            "rejected": " do not ask" * (1 + n % 3),
        }
        for n in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def forked(work: Callable[[], int], output: Path) -> int:
    """The exit code of `work` in a child whose stdout and stderr go to a file; 124 where it took too long."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            with output.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            code = work()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def ask_forked(task: round_trip.Task, _seconds: float) -> round_trip.PlainRewards:
    """`round_trip.ask` without the imports of a new interpreter."""
    with tempfile.TemporaryDirectory() as made:
        answer, output = Path(made) / "answer.json", Path(made) / "output"

        def work() -> int:
            answer.write_text(json.dumps(round_trip.scores(task)))
            return 0

        if forked(work, output):
            last = (output.read_text().strip().splitlines() or ["no word"])[-1]
            raise round_trip.NotComparable(f"a fresh process could not score: {last}")
        found: round_trip.PlainRewards = json.loads(answer.read_bytes())
        return found


def run_trainer(*argv: object) -> tuple[int, str]:
    """`python -m trainer …`: (exit code, all that it wrote)."""
    with tempfile.TemporaryDirectory() as made:
        output = Path(made) / "output"

        def work() -> int:
            round_trip.ask = ask_forked
            os.environ["ACCELERATE_USE_CPU"] = "true"
            return program.main([str(one) for one in argv])

        return forked(work, output), output.read_text()


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]


def spec(run: Path, base: Path, pairs: Path, method: str, precision: str) -> Path:
    run.mkdir(exist_ok=True)
    (run / "spec.toml").write_text(
        f'[config]\nmodel = "{base}"\nmethod = "{method}"\nmixed_precision = "{precision}"\nnum_epochs = 2\n'
        "learning_rate = 0.001\nmax_length = 128\ntoken_cache = false\nkeep_checkpoints = 10\n"
        f'[config.data]\ntrain = "{pairs}"\nval = "{pairs}"\n'
    )
    return run / "spec.toml"


def result(run: Path) -> dict[str, Any]:
    last = sorted(run.glob("attempt-*/result.json"))[-1]
    found: dict[str, Any] = json.loads(last.read_bytes())
    return found


def verified(found: dict[str, Any]) -> str:
    """What the closing round trip says; a difference of padded batches alone is reported by the run and its card."""
    if found.get("verified"):
        return RIGHT
    why = str(found.get("unverified", "no round trip"))
    return ALONE if why.startswith("in batches padded") else f"WRONG: {why}"


def stages(base: Path, place: Path, pairs: Path, method: str, precision: str) -> Iterator[tuple[str, str]]:
    """Each stage and what came of it; a refusal of the training ends the row."""
    run = place / "run"
    code, text = run_trainer("--config", spec(run, base, pairs, method, precision))
    if code == 2:
        yield "train", f"refused: {last_line(text)}"
        return
    found = result(run) if code == 0 else {"outcome": "", "reason": last_line(text)}
    yield "train", RIGHT if (code, found["outcome"]) == (0, "finished") else f"WRONG: {code}, {found['reason']}"
    if code:
        return
    yield "reload", verified(found)
    yield "score", scored(run, pairs, precision)
    code, text = run_trainer("merge", run, place / "merged")
    yield "merge", RIGHT if code == 0 else f"{'refused' if code == 2 else 'WRONG'}: {last_line(text)}"
    first = sorted((run / "checkpoints").glob("step-*"))[0]
    code, text = run_trainer("--config", run / "spec.toml", "--resume", first)
    same = resumed_exactly(run) if code == 0 else last_line(text)
    yield "resume", verified(result(run)) if not same else f"WRONG: {code}, {same}"


def losses(folder: Path) -> dict[int, float]:
    events = map(json.loads, (folder / "events.jsonl").open())
    return {one["step"]: one["metrics"]["loss"] for one in events if one["kind"] == "step"}


def resumed_exactly(run: Path) -> str:
    """Why the resumed losses are not those of the whole run, to the bit; empty where they are."""
    whole, again = (losses(one) for one in sorted(run.glob("attempt-*")))
    other = [step for step, loss in again.items() if loss != whole[step]]
    return f"losses differ at steps {other}" if other or not again else ""


def scored(run: Path, pairs: Path, precision: str) -> str:
    """`score` finds the rewards of the best checkpoint's evaluation; bf16 to its rounding."""
    code, text = run_trainer("score", run, pairs, "--json", "--out", run / "scores.jsonl")
    if code:
        return f"{'refused' if code == 2 else 'WRONG'}: {last_line(text)}"
    best = json.loads((run / "checkpoints" / "best").read_bytes())["step"]
    epoch = 1 if best == sorted(int(one.name[5:]) for one in (run / "checkpoints").glob("step-*"))[0] else 2
    trained = {row["id"]: row for row in map(json.loads, (run / f"validation/epoch-{epoch}.jsonl").open())}
    mine = [json.loads(one) for one in (run / "scores.jsonl").open()]
    both = [(row[side], trained[row["id"]][side]) for row in mine for side in ("chosen", "rejected")]
    gap = max(abs(one - other) for one, other in both)
    spread = max(other for _, other in both) - min(other for _, other in both)
    allowed = max(1e-5, (1e-3 if precision == "no" else 0.1) * spread)
    return RIGHT if gap <= allowed else f"WRONG: rewards differ by {gap:.2g} at a spread of {spread:.2g}"


def rows(kinds: Sequence[str], methods: Sequence[str], precisions: Sequence[str]) -> Iterator[Row]:
    """The matrix, a row at a time."""
    for kind in kinds:
        for method in methods:
            for precision in precisions:
                with tempfile.TemporaryDirectory() as made:
                    yield Row(kind, method, precision, one_row(kind, Path(made), method, precision))


def one_row(kind: str, place: Path, method: str, precision: str) -> dict[str, str]:
    """Stage → what came of it."""
    more = {"encoder": kind in ENCODERS, **NEEDS.get(kind, {}), **toy.MOST_USED.get(kind, {})}

    def work() -> int:
        toy.make_family(kind, place / "base", **more)
        return 0

    if forked(work, place / "output"):
        return {"train": f"{NOT_MADE}: {last_line((place / 'output').read_text())[:100]}"}
    return dict(stages(place / "base", place, write_pairs(place / "pairs.jsonl"), method, precision))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the matrix; 1 where anything is neither right nor refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "types", nargs="*", default=list(toy.MOST_USED), help="model types, or all (default: most used)"
    )
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--precisions", default="no,bf16")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no type after so long")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    kinds = sorted({one.model_type for one in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING})
    kinds = kinds if args.types == ["all"] else args.types
    methods, precisions = args.methods.split(","), args.precisions.split(",")
    versions = f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
    ways = [f"{method}, {precision}" for method in methods for precision in precisions]
    print(f"{date.today().isoformat()}, {versions}\n\n| type | {' | '.join(ways)} |\n|---{'|---' * len(ways)}|")
    faults, began = 0, time.monotonic()
    for kind in kinds:
        if args.minutes and time.monotonic() - began > 60 * args.minutes:
            break
        found = list(rows([kind], methods, precisions))
        faults += sum(len(row.faults) for row in found)
        verdicts = [row.verdict.replace("|", "\\|") for row in found]
        cells = verdicts if len(set(verdicts)) > 1 else [verdicts[0]] * len(ways)
        with contextlib.suppress(BrokenPipeError):
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
