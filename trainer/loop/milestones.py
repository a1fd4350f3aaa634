"""What happens between optimizer steps: evaluations, the ends of epochs, checkpoints.

The order after a step is fixed: stop asked for? → evaluation if due → epoch's end if it is one → checkpoint if due. A
checkpoint of a step at which an evaluation was due therefore contains that evaluation, or says that it is still due.
"""

from __future__ import annotations

import hashlib
import math
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property

import torch

from trainer.config import TrainConfig
from trainer.data.pairset import PairSet
from trainer.estimate import eval_every
from trainer.loop import checkpoint
from trainer.loop.evaluate import Evaluation, Interrupted, evaluate, never
from trainer.loop.optimizer_step import every_rank
from trainer.loop.session import Session

LN2 = math.log(2)
UNTRAINED = "untrained"
"""What the evaluation before the first step is called."""
TRAINED = "train"
"""What the evaluation of training pairs (`eval_train`) is called."""
AT_LN2 = 0.005
"""A mean loss this near to ln 2 is that of a model that tells nothing apart."""


class Milestones:
    """Called by the loop after every optimizer step."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.config = session.config
        self.progress = session.progress
        self.reporter = session.reporter
        self.saved_step = session.progress.step if session.resumed else -1
        self.saved_at = time.monotonic()
        self.eval_every = eval_every(session.config, session.derived.steps_per_epoch)
        self.overdue = False
        """Whether the ranks agreed, at the last step, that the last checkpoint is too old."""
        self.took_time = False
        """Whether an evaluation or a checkpoint followed the last step."""

    @property
    def epochs(self) -> float:
        """Epochs done, fractional."""
        return self.progress.epochs(self.session.derived.steps_per_epoch)

    def settle(self) -> bool:
        """What a step calls for after it; false when the ranks agree to stop before the evaluation, or inside it."""
        progress, config = self.progress, self.config
        ends_epoch = progress.position == self.session.derived.steps_per_epoch
        improved = False
        self.took_time = progress.evaluation_due or ends_epoch or due(self.eval_every, progress.step)
        if self.took_time:
            progress.evaluation_due = True
            if self.stop_agreed():
                return False
            try:
                improved = self.evaluate(ends_epoch)
            except Interrupted:
                return False
            progress.evaluation_due = False
        if ends_epoch:
            progress.next_epoch(config.num_epochs)
        if improved or ends_epoch or progress.done or self.overdue or due(config.save_steps, progress.step):
            kind = "save_minutes" if self.overdue else "save_steps"
            self.took_time = True
            self.save("best" if improved else "epoch" if ends_epoch else kind, improved)
        return True

    def at_start(self) -> bool:
        """Evaluate the model as it begins, as a set of its own name: nothing of it is trained, so it is neither the
        best nor a point of the training. False when the ranks agree to stop."""
        if self.stop_agreed():
            return False
        try:
            self.score_set(UNTRAINED, self.session.validation[""], "step-000000")
        except Interrupted:
            return False
        return True

    def stop_agreed(self) -> bool:
        """Whether any rank has been asked to stop; every rank gets the same answer."""
        return any(stop for (stop,) in every_rank([bool(self.session.stop)], self.session.device))

    def too_old(self) -> bool:
        """Whether `save_minutes` are over since the last checkpoint, by the clock of rank 0."""
        minutes = self.config.save_minutes
        return self.session.rank == 0 and bool(minutes) and time.monotonic() - self.saved_at >= 60 * minutes

    def evaluate(self, ends_epoch: bool) -> bool:
        """Score every validation set, say the metrics; true when the deciding one is the best so far."""
        progress, config = self.progress, self.config
        metrics = self.score_sets(ends_epoch)
        improved = progress.judge(metrics, config.best_metric, config.early_stopping_patience)
        if ends_epoch:
            self.report_epoch(metrics)
        if near_ln2(progress.train_loss) and near_ln2(metrics["val_loss"]):
            self.reporter.warn("loss_at_ln2", ln2_remedy(config), progress.step, self.epochs)
        if progress.done:
            self.reporter.line(
                f"early stopping: {progress.stale} evaluations without a better {config.best_metric} "
                f"than {progress.best_value:.4f} of step {progress.best_step}"
            )
        return improved

    def score_sets(self, ends_epoch: bool) -> dict[str, float]:
        """Evaluate every set, write its records and events; the metrics of the set that decides."""
        progress = self.progress
        place = f"epoch-{progress.epoch + 1}" if ends_epoch else f"step-{progress.step:06d}"
        metrics = {name: self.score_set(name, pairs, place) for name, pairs in self.session.validation.items()}
        if ends_epoch and self.config.eval_train:
            self.score_set(TRAINED, self.training_pairs, place)
        return metrics[""]

    @cached_property
    def training_pairs(self) -> PairSet:
        """The pairs of `eval_train`: those of the lowest hashes, the same in every run of these pairs."""
        pairs = self.session.train
        order = sorted(pairs.pairs, key=lambda pair: hashlib.sha256(pair.id.encode("utf-8", "surrogatepass")).digest())
        return replace(pairs, pairs=order[: self.config.eval_train], shares=(), by_file={})

    def score_set(self, name: str, pairs: PairSet, place: str) -> dict[str, float]:
        """One set's records into validation/, its event and line."""
        found = self.score(name, pairs)
        file = f"{name}-{place}.jsonl" if name else f"{place}.jsonl"
        if self.session.rank == 0:
            found.write(self.session.request.run / "validation" / file)
        named = {"set": name} if name else {}
        self.reporter.report(
            "eval", self.progress.step, self.epochs, found.metrics, file=file, margins=asdict(found.margins), **named
        )
        self.reporter.line(evaluation_line(name, self.progress.step, found))
        for file, places in pairs.by_file.items():
            self.report_file(f"{name or 'val'}/{file}", found.of({pairs.pairs[place].id for place in places}))
        return found.metrics

    def report_file(self, name: str, found: Evaluation) -> None:
        """Metrics of one of the files that a validation set joins; its rewards are among the set's own."""
        margins = asdict(found.margins)
        self.reporter.report("eval", self.progress.step, self.epochs, found.metrics, margins=margins, set=name)
        self.reporter.line(evaluation_line(name, self.progress.step, found))

    def score(self, name: str, pairs: PairSet) -> Evaluation:
        """Exact scores. A sharded model needs every rank in every forward pass, so there each rank scores all pairs."""
        session, total = self.session, len(pairs)
        size, tokens = self.config.eval_batch_size or 2 * self.config.batch_size, self.config.eval_tokens
        where = (0, 1) if session.sharded else (session.rank, session.world_size)
        stop = never if session.sharded else session.stop.__bool__
        mine = len(range(where[0], total, where[1]))

        def tell(done: int) -> None:
            """This rank's share of the work, as a share of the whole set."""
            session.beat(f"evaluating {name}".rstrip(), done * total // max(1, mine), total)

        tell(0)
        with session.accelerator.autocast():
            return evaluate(session.stepper.model, pairs.pairs, session.model.layout, size, *where, stop, tell, tokens)

    def report_epoch(self, figures: Mapping[str, float]) -> None:
        """The epoch's event and its one line to grep for."""
        progress = self.progress
        kept = ("val_loss", "val_acc", "val_pairs", "reward_margin", "val_clusters", "val_effective")
        metrics = {"train_loss": progress.train_loss, **{key: figures[key] for key in kept if key in figures}}
        self.reporter.report(
            "epoch", progress.step, float(progress.epoch + 1), metrics, peak_bytes=peak_bytes(self.session.device)
        )
        self.reporter.line(
            f"Epoch {progress.epoch + 1}/{self.config.num_epochs} | train_loss={progress.train_loss:.4f} | "
            f"val_loss={figures['val_loss']:.4f} | val_acc={figures['val_acc']:.2%}"
        )

    def save_unless_saved(self, reason: str) -> None:
        """A checkpoint, unless this step has one."""
        if self.saved_step != self.progress.step:
            self.save(reason)

    def save(self, reason: str, improved: bool = False) -> None:
        """A checkpoint of this moment; all ranks take part."""
        began = time.monotonic()
        folder = checkpoint.save(self.session, reason)
        self.saved_step, self.saved_at, self.overdue = self.progress.step, time.monotonic(), False
        took = round(self.saved_at - began, 3)
        self.reporter.report(
            "checkpoint", self.progress.step, self.epochs, folder=folder.name, reason=reason, seconds=took
        )
        if improved:
            checkpoint.mark_best(self.session, folder)
        checkpoint.prune(self.session)


def due(every: int, step: int) -> bool:
    """Whether something happens after this step that happens each `every` steps (0: never)."""
    return bool(every) and step % every == 0


def near_ln2(loss: float) -> bool:
    """The loss of a model that gives both sides of every pair the same reward is ln 2."""
    return abs(loss - LN2) < AT_LN2


def ln2_remedy(config: TrainConfig) -> str:
    """What to do about a loss that stays at ln 2."""
    scale = config.lora.alpha / (config.lora.r**0.5 if config.lora.rslora else config.lora.r)
    named = "alpha / √r" if config.lora.rslora else "alpha / r"
    lora = f", LoRA {named} = {scale:g}" if config.method == "lora" else ""
    return (
        "train_loss and val_loss are at ln 2 = 0.693: the model cannot yet tell the two answers of a pair apart. "
        f"learning_rate = {config.learning_rate:g}{lora}; the effective step grows with learning_rate × alpha / r, "
        "so raise one of them, or train on more pairs or for more epochs"
    )


def evaluation_line(name: str, step: int, found: Evaluation) -> str:
    """An evaluation in words: counts, not only shares."""
    metrics = found.metrics
    pairs, ties = int(metrics["val_pairs"]), int(metrics["val_ties"])
    right = round(metrics["val_acc"] * pairs)
    tied = f", {ties} ties" if ties else ""
    return (
        f"evaluation{f' of {name}' if name else ''} at step {step}: val_loss={metrics['val_loss']:.4f}, "
        f"{right} of {pairs} right{tied}, margin {metrics['reward_margin']:.3f}"
    )


def peak_bytes(device: torch.device) -> int:
    """Most memory this process has held so far: the GPU's, or on a CPU the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
