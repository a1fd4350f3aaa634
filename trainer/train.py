"""The training loop: micro batches → optimizer steps → evaluations, checkpoints and epochs, and how it ends.

The order after an optimizer step is fixed: stop asked for? → evaluation if due → epoch's end if it is one → checkpoint if due.
A checkpoint of a step at which an evaluation was due therefore contains that evaluation, or says that it is still due.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
import torch.distributed as dist

from trainer import checkpoint, roundtrip, schedule
from trainer.attempt import Outcome
from trainer.config import TrainConfig
from trainer.data import PairSet
from trainer.evaluate import Evaluation, evaluate
from trainer.loss import pair_loss
from trainer.model import rewards
from trainer.packing import collate, epoch_batches
from trainer.progress import forward_seed
from trainer.setup import Ready
from trainer.stepper import NotFinite, Sums, every_rank

MicroBatches = Sequence[Sequence[int]]
SHOWN_IDS = 8
LN2 = math.log(2)
AT_LN2 = 0.005
"""A mean loss this near to ln 2 is that of a model that tells nothing apart."""


class Training:
    """One attempt's loop over what `setup.prepare` made ready."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self.config = ready.config
        self.progress = ready.progress
        self.derived = ready.derived
        self.reporter = ready.reporter
        self.broken: list[str] = []
        """Pairs of this rank whose loss was not finite."""
        self.saved_step = ready.progress.step if ready.resumed else -1

    def run(self) -> Outcome:
        """Train to the end, or to where the ranks agree to stop."""
        if self.progress.evaluation_due and not self.settle():
            return self.stopped()
        while not self.progress.done:
            batches = self.batches()
            while self.progress.position < len(batches):
                if not self.step(batches[self.progress.position]):
                    return self.stopped()
                if not self.settle():
                    return self.stopped()
                if self.progress.done or self.progress.position == 0:
                    break
        return self.finished()

    def batches(self) -> Sequence[MicroBatches]:
        """This rank's micro batches of the epoch, by optimizer step."""
        ready = self.ready
        return epoch_batches(
            ready.train.pairs, self.config, self.progress.epoch, ready.world_size, ready.rank, self.config.seed
        )

    def step(self, micro_batches: MicroBatches) -> bool:
        """One optimizer step; false when the ranks agree to stop before it."""
        ready, progress, began = self.ready, self.progress, time.perf_counter()
        everyone = every_rank([sum(map(len, micro_batches)), len(micro_batches), bool(ready.stop)], ready.device)
        if any(row[2] for row in everyone):
            return False
        step_pairs = int(sum(row[0] for row in everyone))
        ready.moment.step, ready.moment.epoch = progress.step + 1, self.epochs
        ready.wrapped.train()
        sums = Sums()
        for number in range(int(max(row[1] for row in everyone))):
            if number < len(micro_batches):
                self.forward_backward(micro_batches[number], number, step_pairs, sums)
            elif ready.sharded:
                self.forward_backward([0], number, step_pairs, Sums(), weight=0.0)
        total = sums.reduced(ready.device)
        rate = self.rate(progress.step + 1)
        norm = self.apply(rate, total, micro_batches)
        progress.stepped(total.loss, total.pairs, total.tokens)
        self.report_step(total, rate, norm, time.perf_counter() - began)
        return True

    def rate(self, step: int) -> float:
        """The learning rate of an optimizer step, from 1."""
        derived, config = self.derived, self.config
        return schedule.learning_rate(
            step, derived.total_steps, derived.warmup_steps, config.lr_scheduler, config.learning_rate
        )

    def apply(self, rate: float, total: Sums, micro_batches: MicroBatches) -> float:
        """Update the weights; raises NotFinite, on every rank alike, with the pairs that did it."""
        if not math.isfinite(total.loss):
            self.refuse_update(f"the loss of step {self.progress.step + 1} is {total.loss}", self.broken, None)
        norm = self.ready.stepper.finish(rate)
        if math.isfinite(norm) or self.ready.stepper.overflow_only:
            return norm
        ids = [self.ready.train.pairs[index].id for batch in micro_batches for index in batch]
        self.refuse_update(f"the gradient norm of step {self.progress.step + 1} is {norm}", ids, norm)
        return norm

    def refuse_update(self, what: str, ids: Sequence[str], norm: float | None) -> None:
        """Raise NotFinite with the pair ids of all ranks."""
        self.ready.moment.pair_ids = tuple(gather_ids(ids))
        self.ready.moment.grad_norm = norm
        shown = ", ".join(self.ready.moment.pair_ids[:SHOWN_IDS])
        raise NotFinite(
            f"{what}; no weight was changed by it. Pairs: {shown}. Try a lower learning_rate, a smaller max_grad_norm, "
            "or bf16 instead of fp16; the last checkpoint is from before"
        )

    def forward_backward(
        self, indices: Sequence[int], number: int, step_pairs: int, sums: Sums, weight: float = 1.0
    ) -> None:
        """One micro batch; dropout's seed depends on where it stands, not on what ran before."""
        ready, config = self.ready, self.config
        micro_step = self.progress.step * config.gradient_accumulation_steps + number
        ready.heartbeat.beat(self.progress.step, micro_step)
        torch.manual_seed(forward_seed(config.seed, ready.rank, micro_step))
        pairs = [ready.train.pairs[index] for index in indices]
        ready.moment.pair_ids = tuple(pair.id for pair in pairs)
        batch = collate(pairs, ready.model.layout)
        with ready.accelerator.autocast():
            chosen, rejected = rewards(ready.wrapped, batch)
        losses = pair_loss(chosen, rejected, batch.margin, config)
        ready.stepper.backward(losses.sum() * weight, step_pairs)
        gap = (chosen - rejected).detach()
        figures = torch.stack([losses.detach().sum(), (gap > 0).sum(), gap.sum()]).double().tolist()
        if not math.isfinite(figures[0]):
            finite = torch.isfinite(losses.detach()).tolist()
            self.broken += [pair.id for pair, good in zip(pairs, finite, strict=True) if not good]
        sums.loss += figures[0]
        sums.correct += figures[1]
        sums.margin += figures[2]
        sums.pairs += len(pairs)
        sums.tokens += batch.tokens

    @property
    def epochs(self) -> float:
        """Epochs done, fractional."""
        return self.progress.epochs(self.derived.steps_per_epoch)

    def report_step(self, total: Sums, rate: float, norm: float, seconds: float) -> None:
        """The step's event and line."""
        progress = self.progress
        metrics = {
            "loss": total.loss / total.pairs,
            "learning_rate": rate,
            "grad_norm": norm,
            "accuracy": total.correct / total.pairs,
            "margin": total.margin / total.pairs,
            "tokens_per_s": total.tokens / seconds,
            "pairs_per_s": total.pairs / seconds,
        }
        self.reporter.say("step", progress.step, self.epochs, metrics)
        self.reporter.line(
            f"step {progress.step}/{self.derived.total_steps} | loss={metrics['loss']:.4f} | lr={rate:.3e} | "
            f"grad_norm={norm:.3f} | {metrics['pairs_per_s']:.1f} pairs/s"
        )

    def settle(self) -> bool:
        """What a step calls for after it; false when the ranks agree to stop before the evaluation."""
        progress, config = self.progress, self.config
        ends_epoch = progress.position == self.derived.steps_per_epoch
        improved = False
        if progress.evaluation_due or ends_epoch or due(config.eval_steps, progress.step):
            progress.evaluation_due = True
            if self.stop_agreed():
                return False
            improved = self.evaluate(ends_epoch)
            progress.evaluation_due = False
        if ends_epoch:
            progress.next_epoch(config.num_epochs)
        if improved or ends_epoch or progress.done or due(config.save_steps, progress.step):
            self.save("best" if improved else "epoch" if ends_epoch else "save_steps", improved)
        return True

    def stop_agreed(self) -> bool:
        """Whether any rank has been asked to stop; every rank gets the same answer."""
        return any(row[0] for row in every_rank([bool(self.ready.stop)], self.ready.device))

    def evaluate(self, ends_epoch: bool) -> bool:
        """Score every validation set, say the figures; true when the deciding one is the best so far."""
        ready, progress, config = self.ready, self.progress, self.config
        figures = self.score_sets(ends_epoch)
        smaller = config.best_metric == "val_loss"
        improved = progress.judge(figures[config.best_metric], smaller, config.early_stopping_patience)
        if ends_epoch:
            self.report_epoch(figures)
        if near_ln2(progress.train_loss) and near_ln2(figures["val_loss"]):
            ready.reporter.warn("loss_at_ln2", ln2_words(config), progress.step, self.epochs)
        if progress.done:
            ready.reporter.line(
                f"early stopping: {progress.stale} evaluations without a better {config.best_metric} "
                f"than {progress.best_value:.4f} of step {progress.best_step}"
            )
        return improved

    def score_sets(self, ends_epoch: bool) -> dict[str, float]:
        """Evaluate every set, write its records and events; the figures of the set that decides."""
        ready, progress = self.ready, self.progress
        place = f"epoch-{progress.epoch + 1}" if ends_epoch else f"step-{progress.step:06d}"
        for name, pairs in ready.validation.items():
            found = self.score(pairs)
            prefix = f"{name}-" if name else ""
            if ready.rank == 0:
                found.write(ready.request.run / "validation" / f"{prefix}{place}.jsonl")
            more = {"set": name} if name else {}
            self.reporter.say(
                "eval",
                progress.step,
                self.epochs,
                found.metrics,
                file=f"{prefix}{place}.jsonl",
                margins=asdict(found.margins),
                **more,
            )
            self.reporter.line(evaluation_line(name, progress.step, found))
            if not name:
                figures = found.metrics
        return figures

    def score(self, pairs: PairSet) -> Evaluation:
        """One set, exactly. Sharded models need every rank in every forward pass, so there each rank scores all pairs."""
        ready = self.ready
        size = self.config.eval_batch_size or 2 * self.config.batch_size
        where = (0, 1) if ready.sharded else (ready.rank, ready.world_size)
        with ready.accelerator.autocast():
            return evaluate(ready.wrapped, pairs.pairs, ready.model.layout, size, *where)

    def report_epoch(self, figures: Mapping[str, float]) -> None:
        """The epoch's event and its one line to grep for."""
        progress = self.progress
        kept = ("val_loss", "val_acc", "val_pairs", "reward_margin")
        metrics = {"train_loss": progress.train_loss, **{key: figures[key] for key in kept}}
        self.reporter.say("epoch", progress.step, float(progress.epoch + 1), metrics)
        self.reporter.line(
            f"Epoch {progress.epoch + 1}/{self.config.num_epochs} | train_loss={progress.train_loss:.4f} | "
            f"val_loss={figures['val_loss']:.4f} | val_acc={figures['val_acc']:.2%}"
        )

    def save(self, reason: str, improved: bool = False) -> None:
        """A checkpoint of this moment; all ranks take part."""
        folder = checkpoint.save(self.ready, reason)
        self.saved_step = self.progress.step
        self.reporter.say("checkpoint", self.progress.step, self.epochs, folder=folder.name, reason=reason)
        if improved:
            checkpoint.mark_best(self.ready, folder)
        checkpoint.prune(self.ready)

    def stopped(self) -> Outcome:
        """Save where the ranks agreed to stop."""
        progress, signal = self.progress, self.ready.stop.signal
        self.reporter.say("stopping", progress.step, self.epochs, signal=signal)
        self.reporter.line(f"asked to stop ({signal or 'another rank'}): saving step {progress.step}")
        if self.saved_step != progress.step or progress.evaluation_due:
            self.save("stop")
        reason = f"asked to stop at step {progress.step} of {self.derived.total_steps}"
        return self.ended("stopped", reason)

    def finished(self) -> Outcome:
        """Write model/, prove that it loads with equal scores, and say so."""
        folder = checkpoint.write_model(self.ready)
        check = roundtrip.check(self.ready, folder)
        self.reporter.say("round_trip", self.progress.step, self.epochs, max_difference=check, passed=True)
        return self.ended("finished", self.progress.done, round_trip=check)

    def ended(self, outcome: str, reason: str, **facts: object) -> Outcome:
        """The last event; rank 0 then writes result.json."""
        progress = self.progress
        self.reporter.say("end", progress.step, self.epochs, outcome=outcome, reason=reason)
        self.reporter.line(f"{outcome}: {reason}")
        self.ready.accelerator.end_training()
        return Outcome(outcome, reason, {"step": progress.step, "epoch": self.epochs, **facts})


def due(every: int, step: int) -> bool:
    """Whether something happens after this step that happens each `every` steps (0: never)."""
    return bool(every) and step % every == 0


def near_ln2(loss: float) -> bool:
    """The loss of a model that gives both sides of every pair the same reward is ln 2."""
    return abs(loss - LN2) < AT_LN2


def ln2_words(config: TrainConfig) -> str:
    """What to do about a loss that stays at ln 2."""
    lora = f", LoRA alpha / r = {config.lora.alpha / config.lora.r:g}" if config.method == "lora" else ""
    return (
        f"train_loss and val_loss stand at ln 2 = 0.693: the model tells the sides of no pair apart so far. "
        f"learning_rate = {config.learning_rate:g}{lora}; the effective step grows with learning_rate × alpha / r, "
        "so raise one of them, or train on more pairs or epochs"
    )


def evaluation_line(name: str, step: int, found: Evaluation) -> str:
    """An evaluation in words: counts, not only shares."""
    figures = found.metrics
    pairs, ties = int(figures["val_pairs"]), int(figures["val_ties"])
    right = round(figures["val_acc"] * pairs)
    tied = f", {ties} ties" if ties else ""
    return (
        f"evaluation{f' of {name}' if name else ''} at step {step}: val_loss={figures['val_loss']:.4f} "
        f"right {right} of {pairs}{tied}, margin {figures['reward_margin']:.3f}"
    )


def gather_ids(ids: Sequence[str]) -> list[str]:
    """Pair ids of all ranks."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return list(ids)
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, list(ids))
    return [one for part in gathered for one in part]
