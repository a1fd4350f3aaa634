"""The training loop: micro batches → optimizer steps, milestones between them, and how it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
import torch.distributed as dist

from trainer.data.batches import Batch, Micro, StepBatches, collate
from trainer.loop import checkpoint, round_trip, schedule
from trainer.loop.ahead import Ahead
from trainer.loop.loss import pair_loss
from trainer.loop.milestones import Milestones
from trainer.loop.optimizer_step import NotFinite, Sums, Totals
from trainer.loop.progress import forward_seed
from trainer.loop.session import Session
from trainer.model.reward import rewards
from trainer.request import Outcome

SHOWN_IDS = 8


class Training:
    """One attempt's loop over what `setup.prepare` made ready."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.config = session.config
        self.progress = session.progress
        self.milestones = Milestones(session)
        self.ahead = Ahead(self.laid_out, session.device)
        self.told: bool | None = None
        """Whether any rank was asked to stop, as of the last step; None: the ranks have not told each other."""

    def run(self) -> Outcome:
        """Train to the end, or to where the ranks agree to stop."""
        if self.progress.evaluation_due and not self.milestones.settle():
            return self.stopped()
        if self.config.eval_at_start and not self.progress.step and not self.milestones.at_start():
            return self.stopped()
        while not self.progress.done:
            epoch, steps = self.progress.epoch, self.session.batches(self.progress.epoch)
            while self.progress.epoch == epoch and not self.progress.done:
                position = self.progress.position
                following = steps[position + 1].micro_batches if position + 1 < len(steps) else []
                if not self.step(steps[position], following[:1]) or not self.milestones.settle():
                    return self.stopped()
        return self.finished()

    def laid_out(self, places: Sequence[int]) -> Batch:
        """A micro batch on the CPU."""
        return collate([self.session.train.pairs[place] for place in places], self.session.model.layout)

    def step(self, step: StepBatches, following: Sequence[Micro]) -> bool:
        """One optimizer step; false when the ranks agree to stop before it. The device is read once, after everything
        has been handed to it; `following` begins with the micro batch after this step's."""
        session, progress, stepper, began = self.session, self.progress, self.session.stepper, time.perf_counter()
        if self.asked_to_stop():
            return False
        session.moment.step, session.moment.epoch = progress.step + 1, self.milestones.epochs
        stepper.model.train()
        rate = self.rate(progress.step + 1)
        stepper.begin(rate)
        sums, micros = Sums(), step.micro_batches
        for number, places in enumerate(micros):
            last = number == len(micros) - 1
            coming = next((micro for micro in (*micros[number + 1 :], *following) if micro), [])
            if places:
                self.forward_backward(places, number, step.pairs, sums, last, coming)
            elif session.sharded:  # its forward is a collective, so a rank without pairs takes part with weight 0
                self.forward_backward([0], number, step.pairs, Sums(), last, coming, weight=0.0)
        norm = stepper.reduce(sums.fault(session.device))
        if stepper.guarded:
            stepper.update(norm)
            total = self.read(sums, norm, step)
        else:
            total = self.read(sums, norm, step)
            stepper.update(norm, total.finite)
        self.refuse_not_finite(total, step.micro_batches)
        progress.stepped(total.loss, total.pairs, total.tokens)
        self.report_step(total, rate, time.perf_counter() - began)
        return True

    def asked_to_stop(self) -> bool:
        """Whether any rank was. Several GPUs go by the last step's numbers and ask each other only after a pause, since
        an answer has to wait for what they compute: a stop may then come a step later."""
        told, self.told = self.told, None
        several = self.session.world_size > 1 and self.session.device.type == "cuda"
        if told is None or not several or self.milestones.took_time:
            return self.milestones.stop_agreed()
        return told

    def read(self, sums: Sums, norm: torch.Tensor, step: StepBatches) -> Totals:
        """The step's numbers over all ranks; with them goes what each was asked."""
        flags = bool(self.session.stop), self.milestones.too_old()
        total = sums.read(norm, flags, step.most, self.session.device)
        self.told, self.milestones.overdue = total.flags
        return total

    def forward_backward(
        self,
        places: Micro,
        number: int,
        step_pairs: int,
        sums: Sums,
        last: bool,
        coming: Micro,
        weight: float = 1.0,
    ) -> None:
        """One micro batch; dropout's seed depends on its place, not on what ran before. `coming` is the next one."""
        session, config = self.session, self.config
        micro_step = session.micro_step + number
        session.heartbeat.beat(self.progress.step, micro_step)
        torch.manual_seed(forward_seed(config.seed, session.rank, micro_step))
        session.moment.pair_ids = tuple(session.train.pairs[place].id for place in places)
        batch = self.ahead.take(places)
        self.ahead.prepare(coming)
        with session.accelerator.autocast():
            chosen, rejected = rewards(session.stepper.model, batch)
        losses = pair_loss(chosen, rejected, batch.margin, config)
        session.stepper.backward(losses.sum() * weight, step_pairs, last)
        sums.add(session.moment.pair_ids, losses.detach(), (chosen - rejected).detach(), batch.tokens)

    def rate(self, step: int) -> float:
        """The learning rate of an optimizer step, from 1."""
        derived, config = self.session.derived, self.config
        return schedule.learning_rate(
            step,
            derived.total_steps,
            derived.warmup_steps,
            config.lr_scheduler,
            config.learning_rate,
            config.lr_floor,
            config.lr_decay_ratio,
        )

    def refuse_not_finite(self, total: Totals, micro_batches: Sequence[Micro]) -> None:
        """Raises NotFinite, on every rank alike, with the pairs that did it; the update has left the weights alone."""
        step, norm = self.progress.step + 1, total.norm
        if not math.isfinite(total.loss):
            raise self.not_finite(f"the loss of step {step} is {total.loss}", total.broken, None)
        if not math.isfinite(norm) and not self.session.stepper.overflow_only:
            ids = [self.session.train.pairs[index].id for batch in micro_batches for index in batch]
            raise self.not_finite(f"the gradient norm of step {step} is {norm}", ids, norm)

    def not_finite(self, what: str, ids: Sequence[str], norm: float | None) -> NotFinite:
        """The error with the pair ids of all ranks."""
        everyones = tuple(gather_ids(ids))
        self.session.moment.pair_ids, self.session.moment.grad_norm = everyones, norm
        shown = ", ".join(everyones[:SHOWN_IDS]) + (", …" if len(everyones) > SHOWN_IDS else "")
        return NotFinite(
            f"{what}; no weight was changed by it. Pairs: {shown}. Try a lower learning_rate, a smaller max_grad_norm, "
            "or bf16 instead of fp16; the last checkpoint is from before"
        )

    def report_step(self, total: Totals, rate: float, seconds: float) -> None:
        """The step's event and line."""
        progress, reporter = self.progress, self.session.reporter
        metrics = {
            "loss": total.loss / total.pairs,
            "learning_rate": rate,
            "grad_norm": total.norm,
            "accuracy": total.correct / total.pairs,
            "margin": total.margin / total.pairs,
            "tokens_per_s": total.tokens / seconds,
            "pairs_per_s": total.pairs / seconds,
        }
        reporter.report("step", progress.step, self.milestones.epochs, metrics)
        reporter.line(
            f"step {progress.step}/{self.session.derived.total_steps} | loss={metrics['loss']:.4f} | lr={rate:.3e} | "
            f"grad_norm={total.norm:.3f} | {metrics['pairs_per_s']:.1f} pairs/s"
        )

    def stopped(self) -> Outcome:
        """Save where the ranks agreed to stop."""
        progress, reporter, signal = self.progress, self.session.reporter, self.session.stop.signal
        reporter.report("stopping", progress.step, self.milestones.epochs, signal=signal)
        reporter.line(f"asked to stop ({signal or 'on another rank'}); the checkpoint is of step {progress.step}")
        self.milestones.save_unless_saved("stop")
        return self.ended("stopped", f"asked to stop, at step {progress.step} of {self.session.derived.total_steps}")

    def finished(self) -> Outcome:
        """Write model/, and check that plain transformers find its rewards. The other ranks have nothing left to do."""
        if self.session.rank != 0:
            return self.ended("finished", self.progress.done)
        self.session.beat("writing the model")
        folder = checkpoint.write_model(self.session)
        facts = round_trip.check(self.session, folder)
        doubt = f"; not verified: {facts['unverified']}" if "unverified" in facts else ""
        return self.ended("finished", f"{self.progress.done}{doubt}", **facts)

    def ended(self, outcome: str, reason: str, **facts: object) -> Outcome:
        """The last event; rank 0 then writes result.json."""
        progress, epochs, reporter = self.progress, self.milestones.epochs, self.session.reporter
        reporter.report("end", progress.step, epochs, outcome=outcome, reason=reason)
        reporter.line(f"{outcome}: {reason}")
        if reporter.main:
            self.session.beat("ending")
        reporter.mirrors.close()
        self.session.accelerator.end_training()
        return Outcome(outcome, reason, {"step": progress.step, "epoch": epochs, **facts})


def gather_ids(ids: Sequence[str]) -> list[str]:
    """Pair ids of all ranks."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return list(ids)
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, list(ids))
    return [one for part in gathered for one in part]
