"""A step hands all of its work to the device before it looks at a number, and what it looks at is right."""

import json
import math

import pytest
import torch
from engine_worlds import make_rows, quick_end, train, write_rows

import trainer.loop.train
from trainer import manifest
from trainer.loop import ahead
from trainer.loop.optimizer_step import Stepper, Sums

READS = ("item", "tolist", "cpu", "__float__", "__bool__", "__int__")


def noting_order(path):
    """Write when a tensor is read and when the optimizer runs, of the steps alone."""

    def patch(rank):
        quick_end(rank)
        notes: list[str] = []
        step, update = trainer.loop.train.Training.step, torch.optim.AdamW.step

        def noted_step(self, *given):
            notes.append("step")
            done = step(self, *given)
            notes.append("end")
            path.write_text(json.dumps(notes))
            return done

        def noted_update(self, *given, **named):
            notes.append("optimizer")
            return update(self, *given, **named)

        trainer.loop.train.Training.step = noted_step
        torch.optim.AdamW.step = noted_update
        for name in READS:
            setattr(torch.Tensor, name, reading(getattr(torch.Tensor, name), notes))

    return patch


def reading(method, notes):
    def read(self, *given, **named):
        if not notes or notes[-1] != "read":
            notes.append("read")
        return method(self, *given, **named)

    return read


@pytest.mark.parametrize("changes", [{}, {"mixed_precision": "bf16"}, {"method": "full"}])
def test_a_step_reads_once_and_after_the_optimizer_s_launch(bench, tmp_path, changes):
    world = train(tmp_path, bench.options(num_epochs=1, **changes), 1, noting_order(tmp_path / "notes"))
    assert world.codes == [0], world.log()
    notes = " ".join(json.loads((tmp_path / "notes").read_text()))
    steps = [part.split() for part in notes.split("step")[1:]]
    assert len(steps) == 7
    for step in steps:
        inside = step[: step.index("end")]
        assert inside[-2:] == ["optimizer", "read"] and inside.count("read") == 1, notes


def breaking(number, what, ranks=1):
    """From step `number` on the losses, or the gradients, of the last rank are not finite."""

    def patch(rank):
        quick_end(rank)
        if rank != ranks - 1:
            return
        loss, backward = trainer.loop.train.pair_loss, Stepper.backward

        def broken_loss(chosen, rejected, margin, config):
            found = loss(chosen, rejected, margin, config)
            patch.calls = getattr(patch, "calls", 0) + 1
            return found * (what if patch.calls > 2 * (number - 1) else 1.0)

        def broken_gradient(self, loss_sum, step_pairs, last):
            backward(self, loss_sum, step_pairs, last)
            patch.calls = getattr(patch, "calls", 0) + 1
            if patch.calls > 2 * (number - 1):
                next(one for one in self.parameters if one.grad is not None).grad.fill_(math.inf)

        if what is None:
            Stepper.backward = broken_gradient
        else:
            trainer.loop.train.pair_loss = broken_loss

    return patch


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize(("what", "ranks"), [(math.nan, 1), (math.inf, 1), (None, 1), (math.nan, 2), (None, 2)])
def test_no_weight_changes_by_a_step_that_is_not_finite(bench, tmp_path, optimizer, what, ranks):
    """On every rank, whatever rank it happens on: what the failing process holds are the weights of the step before."""

    def keeping(rank):
        breaking(3, what, ranks)(rank)
        refuse = trainer.loop.train.Training.refuse_not_finite

        def kept(self, total, micro_batches):
            held = [parameter.detach().clone() for parameter in self.session.stepper.parameters]
            torch.save(held, tmp_path / f"weights{rank}-{self.progress.step + 1}.pt")
            refuse(self, total, micro_batches)

        trainer.loop.train.Training.refuse_not_finite = kept

    config = bench.options(num_epochs=1, optimizer=optimizer, batch_size=2 // ranks, warmup_ratio=0.0)
    world = train(tmp_path, config, ranks, keeping)
    assert world.codes == [1] * ranks, world.log()
    named = "gradient norm" if what is None else "loss"
    assert f"the {named} of step 3 is " in world.result["reason"] and len(world.losses) == 2
    for rank in range(ranks):
        first, before, after = (torch.load(tmp_path / f"weights{rank}-{step}.pt") for step in (1, 2, 3))
        assert any(not torch.equal(left, right) for left, right in zip(first, before, strict=True))
        assert all(torch.equal(left, right) for left, right in zip(before, after, strict=True))


def test_numbers_of_a_step_are_exact_sums():
    """Against math.fsum over the same float32 losses, ragged micro batches, a rank with fewer pairs than the most."""
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, size, generator=draw) * 10**size for size in (1, 3, 2)]
    sums = Sums()
    for number, part in enumerate(parts):
        sums.add([f"{number}-{one}" for one in range(part.shape[1])], part[0], part[1], 7)
    total = sums.read(torch.tensor(0.5), (True, False), 9, torch.device("cpu"))
    losses, gaps = torch.cat(parts, dim=1).tolist()
    assert (total.loss, total.margin) == (math.fsum(losses), math.fsum(gaps))
    assert (total.pairs, total.tokens, total.norm, total.flags) == (6, 21, 0.5, [True, False])
    assert total.correct == sum(gap > 0 for gap in gaps) and total.broken == [] and total.finite


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_made_in_a_thread_change_no_loss(bench, tmp_path, ranks):
    def threaded(rank):
        quick_end(rank)
        ahead.AHEAD_ON = frozenset({"cpu"})
        take = ahead.Ahead.take

        def noted(self, places):
            with (tmp_path / f"ahead{rank}").open("a") as file:
                file.write(f"{self._coming is not None and self._coming[0] == places}\n")
            return take(self, places)

        ahead.Ahead.take = noted

    config = bench.options(batch_size=2 // ranks)
    usual = train(tmp_path / "usual", config, ranks, quick_end)
    other = train(tmp_path / "threaded", config, ranks, threaded)
    assert other.codes == [0] * ranks, other.log()
    assert other.losses == usual.losses and len(usual.losses) == 14
    ready = (tmp_path / "ahead0").read_text().split()
    assert ready.count("False") == 2, "the first batch of each epoch alone is waited for"


def test_an_error_of_the_thread_ends_the_run_with_its_words(bench, tmp_path):
    def broken(rank):
        quick_end(rank)
        ahead.AHEAD_ON = frozenset({"cpu"})
        collate = trainer.loop.train.collate

        def failing(pairs, layout):
            if any(pair.id == "p5" for pair in pairs):
                raise ValueError("pair p5 cannot be laid out")
            return collate(pairs, layout)

        trainer.loop.train.collate = failing

    world = train(tmp_path, bench.options(), 1, broken)
    assert world.codes == [1] and "pair p5 cannot be laid out" in world.result["reason"]
    assert "p5" in world.result["pair_ids"]


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_by_tokens_train_the_same_steps_and_resume_to_the_bit(bench, tmp_path, ranks):
    """The gradient is the mean over a step's pairs however they are cut, so without dropout losses agree to rounding;
    with it, a resume repeats them to the bit."""
    rows = make_rows(27)
    for number, row in enumerate(rows):
        row["prompt"] *= 1 + number % 4
    write_rows(tmp_path / "train.jsonl", rows)
    base = {"data__train": str(tmp_path / "train.jsonl"), "batch_size": 4 // ranks, "num_epochs": 1}
    config = bench.options(batch_tokens=96, save_steps=2, **base)
    same = {"lora__dropout": 0.0}
    usual = train(tmp_path / "usual", bench.options(**base, **same), ranks, quick_end)
    cut = train(tmp_path / "cut", bench.options(batch_tokens=96, **base, **same), ranks, quick_end)
    for left, right in zip(usual.of("step"), cut.of("step"), strict=True):
        assert left.metrics["loss"] == pytest.approx(right.metrics["loss"], abs=2e-5)
    assert "cut by tokens, at most 96 a process" in cut.log()
    whole = train(tmp_path / "whole", config, ranks, quick_end)
    first = manifest.checkpoints(whole.run)[0]
    again = train(whole.run, config, ranks, quick_end, ("--resume", first.folder))
    assert again.codes == [0] * ranks, again.log()
    assert again.of("start")[0].data["exact_resume"] is True
    assert again.losses == {step: loss for step, loss in whole.losses.items() if step > first.step}
    assert whole.losses != usual.losses
    refused = train(whole.run, bench.options(save_steps=2, **base), ranks, quick_end, ("--resume", first.folder))
    assert refused.codes == [2] * ranks and "batch_tokens was 96, now 0" in refused.result["reason"]
