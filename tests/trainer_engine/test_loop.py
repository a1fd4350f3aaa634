"""What the loop computes and says: gradients, learning rates, figures of epochs, files."""

import json
import math

import pytest
import torch
from engine_worlds import make_bench, quick_end, train, write_rows

import trainer.loop.milestones
import trainer.loop.optimizer_step
import trainer.loop.train
import trainer.model.fused_lora
from trainer import manifest
from trainer.loop.schedule import factor

SPLITS = [
    {"batch_size": 8, "gradient_accumulation_steps": 1},
    {"batch_size": 2, "gradient_accumulation_steps": 4},
    {"batch_size": 3, "gradient_accumulation_steps": 3},
]


def recording_gradients(path):
    """Save every step's gradients, as they are when the optimizer uses them."""

    def patch(rank):
        quick_end(rank)
        norm = trainer.loop.optimizer_step.Stepper.clip

        def record(self, fault):
            found = norm(self, fault)
            if rank == 0:
                kept = torch.cat([parameter.grad.flatten().clone() for parameter in self.parameters])
                self.recorded = [*getattr(self, "recorded", []), kept]
                torch.save(self.recorded, path)
            return found

        trainer.loop.optimizer_step.Stepper.clip = record

    return patch


def gradients(bench, run, ranks, **changes):
    """Each step's gradient of an epoch whose last step is shorter, at a rate too small to part the trajectories."""
    run.mkdir(parents=True)
    config = bench.options(
        lora__dropout=0.0, num_epochs=1, learning_rate=1e-9, max_grad_norm=0.0, group_by_length=False, **changes
    )
    world = train(run, config, ranks, recording_gradients(run / "gradients.pt"))
    assert world.codes == [0] * ranks, world.log()
    return torch.load(run / "gradients.pt")


def whole_batches(found, effective, pairs):
    """Sum of the steps' gradients weighted by their pairs: the epoch's mean, however the steps were cut."""
    sizes = [effective] * (pairs // effective) + ([pairs % effective] if pairs % effective else [])
    return sum(step * size for step, size in zip(found, sizes, strict=True)) / pairs


@pytest.mark.parametrize(
    ("ranks", "split"),
    [
        (1, SPLITS[1]),
        (2, {"batch_size": 4, "gradient_accumulation_steps": 1}),
        (2, {"batch_size": 2, "gradient_accumulation_steps": 2}),
        (3, {"batch_size": 1, "gradient_accumulation_steps": 2}),
    ],
)
def test_gradients_agree_however_a_step_is_split(bench, tmp_path, ranks, split):
    """27 pairs: with 8 a step the last step has 3, which on three ranks is uneven."""
    effective = ranks * split["batch_size"] * split["gradient_accumulation_steps"]
    one = gradients(bench, tmp_path / "one", 1, batch_size=effective, gradient_accumulation_steps=1)
    other = gradients(bench, tmp_path / "other", ranks, **split)
    assert len(one) == len(other) == math.ceil(27 / effective)
    for left, right in zip(one, other, strict=True):
        assert float(left.abs().max()) > 1e-3
        torch.testing.assert_close(left, right, rtol=0, atol=1e-6)


def test_ragged_accumulation_is_the_mean_over_all_pairs(bench, tmp_path):
    """The epoch's mean gradient is the same for steps of 9 (3+3+3) and steps of 27."""
    ragged = gradients(bench, tmp_path / "ragged", 1, **SPLITS[2])
    whole = gradients(bench, tmp_path / "whole", 1, batch_size=27, gradient_accumulation_steps=1)
    torch.testing.assert_close(whole_batches(ragged, 9, 27), whole[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("ranks", "batch"), [(1, 2), (2, 1)])
def test_the_last_shorter_step_is_a_mean_over_its_own_pairs(bench, tmp_path, ranks, batch):
    """27 pairs in steps of 8, 8, 8 and 3: weighted by their pairs they make the gradient of all 27 at once."""
    steps = gradients(
        bench, tmp_path / "steps", ranks, batch_size=batch, gradient_accumulation_steps=4 * 2 // ranks // batch
    )
    whole = gradients(bench, tmp_path / "whole", 1, batch_size=27, gradient_accumulation_steps=1)
    torch.testing.assert_close(whole_batches(steps, 8, 27), whole[0], rtol=0, atol=1e-6)


def lambda_of(shape, total, warmup):
    from transformers import get_constant_schedule_with_warmup, get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    if shape == "constant":
        return get_constant_schedule_with_warmup(optimizer, warmup).lr_lambdas[0]
    return get_scheduler(shape, optimizer, warmup, total).lr_lambdas[0]


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (14, 1), (100, 30), (7, 7)])
def test_the_rate_is_transformers_formula(shape, total, warmup):
    formula = lambda_of(shape, total, warmup)
    for step in range(1, total + 1):
        assert factor(step, total, warmup, shape) == pytest.approx(formula(step - 1), abs=1e-12)


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_step_uses_the_rate_of_the_formula(bench, tmp_path, ranks):
    config = bench.options(warmup_ratio=0.3, lr_scheduler="cosine", num_epochs=3, batch_size=4 // ranks)
    world = train(tmp_path, config, ranks, quick_end)
    rates = [event.metrics["learning_rate"] for event in world.of("step")]
    total = 3 * math.ceil(27 / 8)
    assert world.of("derived")[0].data["warmup_steps"] == int(0.3 * total)
    formula = lambda_of("cosine", total, int(0.3 * total))
    assert rates == pytest.approx([1e-3 * formula(index) for index in range(total)])


def test_figures_of_an_epoch(bench, tmp_path):
    world = train(tmp_path, bench.options(), 2, quick_end)
    assert world.codes == [0, 0], world.log()
    first, last = world.of("epoch")
    sizes = [8, 8, 8, 3]
    losses = [event.metrics["loss"] for event in world.of("step")]
    assert first.metrics["train_loss"] == pytest.approx(sum(map(math.prod, zip(losses[:4], sizes, strict=True))) / 27)
    assert last.metrics["train_loss"] == pytest.approx(sum(map(math.prod, zip(losses[4:], sizes, strict=True))) / 27)
    records = [json.loads(line) for line in (tmp_path / "validation/epoch-2.jsonl").read_text().splitlines()]
    right = sum(record["chosen"] > record["rejected"] for record in records)
    assert last.metrics["val_acc"] * last.metrics["val_pairs"] == right
    assert len(records) == 9
    line = (
        f"Epoch 2/2 | train_loss={last.metrics['train_loss']:.4f} | val_loss={last.metrics['val_loss']:.4f} | "
        f"val_acc={last.metrics['val_acc']:.2%}"
    )
    assert line in world.log().splitlines()
    assert world.result["outcome"] == "finished"
    assert world.events[-1].kind == "end"


def test_before_the_first_step_everything_derived_is_said(bench, tmp_path):
    world = train(tmp_path, bench.options(num_epochs=1), 1, quick_end)
    kinds = [event.kind for event in world.events]
    assert kinds[: kinds.index("step")] == ["start", "derived", "sample", "sample", "sample"]
    said = world.of("derived")[0].data
    assert (said["train_pairs"], said["steps_per_epoch"], said["effective_batch"], said["last_step_pairs"]) == (
        27,
        7,
        4,
        3,
    )
    assert 0 < said["trainable"] < said["parameters"]
    log = world.log()
    assert log.index("effective batch: 2 pairs × 2 accumulation × 1 processes = 4") < log.index("step 1/7")
    assert "scored at '<|end|>'" in log


def test_leaks_are_counted_and_warned_of(bench, tmp_path):
    rows = [json.loads(line) for line in bench.train.read_text().splitlines()]
    write_rows(tmp_path / "val.jsonl", rows[:4])
    world = train(tmp_path, bench.options(num_epochs=1, data__val=str(tmp_path / "val.jsonl")), 1, quick_end)
    assert world.of("derived")[0].data["leakage"]["val"] == {"prompts": 4, "pairs": 4}
    assert [event.data["id"] for event in world.of("warning")] == ["leakage"]


def test_a_loss_that_stays_at_ln_2_is_said(bench, tmp_path):
    """A head of zeros and a rate of nothing: both sides of every pair get reward 0."""

    def zero_head(rank):
        quick_end(rank)
        load = trainer.loop.setup.load_model

        def loaded(*given):
            model, tokenizer = load(*given)
            for name, parameter in model.named_parameters():
                if "score" in name:
                    parameter.data.zero_()
            return model, tokenizer

        trainer.loop.setup.load_model = loaded

    world = train(tmp_path, bench.options(num_epochs=1, learning_rate=1e-9), 1, zero_head)
    (warning,) = [event for event in world.of("warning") if event.data["id"] == "loss_at_ln2"]
    assert "alpha / r = 2" in warning.data["text"]


def test_full_training_moves_every_weight(tmp_path):
    from safetensors.torch import load_file

    bench = make_bench(tmp_path / "bench")
    world = train(tmp_path / "run", bench.options(method="full", num_epochs=1, weight_decay=0.01), 1)
    assert world.codes == [0], world.log()
    before, after = load_file(bench.model / "model.safetensors"), load_file(world.run / "model/model.safetensors")
    body = {name: after[name.replace("lm_head.", "")] for name in before if name in after}
    assert len(body) > 10
    assert all(not torch.equal(before[name], weights) for name, weights in body.items())
    assert world.result["round_trip"] <= 1e-6


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_and_resumes_to_the_bit(bench, tmp_path, precision):
    config = bench.options(mixed_precision=precision, num_epochs=1, save_steps=3)
    world = train(tmp_path, config, 1, quick_end)
    assert world.codes == [0], world.log()
    assert all(math.isfinite(event.metrics["loss"]) for event in world.of("step"))
    again = train(tmp_path, config, 1, quick_end, ("--resume", manifest.checkpoints(tmp_path)[0].folder))
    assert again.losses == {step: loss for step, loss in world.losses.items() if step in again.losses}
    assert again.losses


def test_gradient_checkpointing_changes_no_loss(bench, tmp_path):
    plain = train(tmp_path / "plain", bench.options(num_epochs=1), 1, quick_end)
    saved = train(tmp_path / "saved", bench.options(num_epochs=1, gradient_checkpointing=True), 1, quick_end)
    assert saved.codes == [0], saved.log()
    for left, right in zip(plain.of("step"), saved.of("step"), strict=True):
        assert left.metrics["loss"] == pytest.approx(right.metrics["loss"], abs=1e-5)


def test_early_stopping_best_and_kept_checkpoints(bench, tmp_path):
    """The validation pairs are training pairs the wrong way round: the more is learnt, the higher val_loss, from the
    first epoch on and on any processor."""
    rows = [json.loads(line) for line in bench.train.read_text().splitlines()]
    turned = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    write_rows(tmp_path / "turned.jsonl", turned)
    config = bench.options(
        num_epochs=6,
        early_stopping_patience=2,
        best_metric="val_loss",
        learning_rate=5e-3,
        keep_checkpoints=1,
        data__val=str(tmp_path / "turned.jsonl"),
    )
    world = train(tmp_path / "run", config, 1, quick_end)
    assert world.codes == [0], world.log()
    losses = [event.metrics["val_loss"] for event in world.of("eval")]
    assert len(losses) == 3 and losses == sorted(losses)
    assert world.result["reason"].startswith("early stopping")
    pointer = manifest.best(world.run)
    assert pointer.value == losses[0]
    kept = [checkpoint.folder for checkpoint in manifest.checkpoints(world.run)]
    assert kept == sorted({pointer.folder, world.run / "checkpoints/step-000021"})
    weights = "adapter_model.safetensors"
    assert (world.run / "model" / weights).read_bytes() == (pointer.folder / weights).read_bytes()


def test_dropout_is_what_the_configuration_says_in_every_step(bench, tmp_path):
    """Also after an evaluation has had the model without it: each adapted layer of each forward draws its mask."""
    drawn = tmp_path / "drawn.json"

    def recording(rank):
        quick_end(rank)
        draw, shares = trainer.model.fused_lora.keep_mask, []

        def recorded(x, share):
            keep, kept = draw(x, share)
            shares.append([share, float(keep.float().mean())])
            drawn.write_text(json.dumps(shares))
            return keep, kept

        trainer.model.fused_lora.keep_mask = recorded

    config = bench.options(lora__dropout=0.3, eval_steps=2, batch_size=4, gradient_accumulation_steps=1, num_epochs=1)
    world = train(tmp_path / "run", config, 1, recording)
    assert world.codes == [0], world.log()
    shares = json.loads(drawn.read_text())
    layers = 2 * 7
    assert len(shares) == 7 * layers
    assert {share for share, _ in shares} == {0.3}
    assert sum(kept for _, kept in shares) / len(shares) == pytest.approx(0.7, abs=0.01)
    assert len({kept for _, kept in shares[::layers]}) > 1, "the same mask in every step"


def test_peft_s_own_dropout_is_in_effect_too(bench, tmp_path):
    """Without the fused adapter: dropout changes the losses, and never those of an evaluation."""
    none, some = (
        train(
            tmp_path / str(share), bench.options(lora__dropout=share, fused_adapter=False, num_epochs=1), 1, quick_end
        )
        for share in (0.0, 0.5)
    )
    assert none.losses[1] == some.losses[1]  # the adapter begins as nothing
    assert all(none.losses[step] != some.losses[step] for step in range(3, 8))


def test_the_unnamed_set_alone_chooses_the_best(bench, tmp_path):
    """The further set is the training data, on which accuracy only rises; the deciding one's accuracy falls."""

    def scripted(rank):
        quick_end(rank)
        score = trainer.loop.milestones.evaluate
        evaluations = []

        def scored(model, pairs, *more):
            found = score(model, pairs, *more)
            if len(pairs) == 9:
                evaluations.append(0)
                found.metrics.update(val_acc=[0.5, 0.75, 0.75, 0.25][len(evaluations) - 1], val_loss=0.6)
            return found

        trainer.loop.milestones.evaluate = scored

    further = {"a_train": str(bench.train)}
    config = bench.options(num_epochs=4, learning_rate=5e-3, data__extra_val=further, keep_checkpoints=1)
    world = train(tmp_path, config, 1, scripted)
    assert world.codes == [0], world.log()
    assert manifest.best(tmp_path).step == 14
    assert [event.step for event in world.of("best")] == [7, 14]
    assert [checkpoint.step for checkpoint in manifest.checkpoints(tmp_path)] == [14, 28]


def test_the_newest_k_checkpoints_and_the_best_are_kept(bench, tmp_path):
    def worse_each_time(rank):
        quick_end(rank)
        score = trainer.loop.milestones.Milestones.score_sets

        def scored(self, ends_epoch):
            return score(self, ends_epoch) | {"val_acc": 1.0 - self.progress.step / 1000}

        trainer.loop.milestones.Milestones.score_sets = scored

    world = train(tmp_path, bench.options(num_epochs=4, save_steps=3, keep_checkpoints=3), 1, worse_each_time)
    assert world.codes == [0], world.log()
    assert [checkpoint.step for checkpoint in manifest.checkpoints(tmp_path)] == [7, 24, 27, 28]


def test_evaluations_between_epochs_and_further_sets(bench, tmp_path):
    write_rows(tmp_path / "extra.jsonl", [json.loads(line) for line in bench.val.read_text().splitlines()[:3]])
    config = bench.options(num_epochs=1, eval_steps=3, data__extra_val={"holdout": str(tmp_path / "extra.jsonl")})
    world = train(tmp_path / "run", config, 2, quick_end)
    assert world.codes == [0, 0], world.log()
    assert [(event.step, event.data.get("set", "")) for event in world.of("eval")] == [
        (3, ""),
        (3, "holdout"),
        (4, ""),
        (4, "holdout"),
    ]
    names = sorted(path.name for path in (tmp_path / "run/validation").iterdir())
    assert names == ["epoch-1.jsonl", "holdout-epoch-1.jsonl", "holdout-step-000003.jsonl", "step-000003.jsonl"]


def test_a_linked_run_starts_from_the_weights_with_a_schedule_of_its_own(bench, tmp_path):
    first = train(tmp_path / "first", bench.options(), 1, quick_end)
    before = first.of("epoch")[-1].metrics["val_loss"]
    folder = manifest.newest(first.run).folder
    linked = train(
        tmp_path / "linked", bench.options(num_epochs=1, learning_rate=1e-9), 1, quick_end, ("--init-from", folder)
    )
    assert linked.codes == [0], linked.log()
    assert "the schedule starts anew" in linked.log()
    assert linked.of("step")[0].step == 1
    assert linked.of("eval")[0].metrics["val_loss"] == pytest.approx(before, abs=1e-5)


def test_an_evaluation_before_the_first_step_changes_nothing_and_is_no_candidate(bench, tmp_path):
    """It holds the figures of the untrained model: those of a run whose rate is as good as zero."""
    plain = train(tmp_path / "plain", bench.options(num_epochs=1), 1, quick_end)
    world = train(tmp_path / "run", bench.options(num_epochs=1, eval_at_start=True, eval_per_epoch=3), 1, quick_end)
    still = train(tmp_path / "still", bench.options(num_epochs=1, learning_rate=1e-12), 1, quick_end)
    assert world.codes == plain.codes == still.codes == [0], world.log()
    first, *later = world.of("eval")
    assert (first.step, first.data["set"], first.data["file"]) == (0, "untrained", "untrained-step-000000.jsonl")
    assert (tmp_path / "run/validation/untrained-step-000000.jsonl").is_file()
    untrained = still.of("eval")[0].metrics
    assert first.metrics["val_loss"] == pytest.approx(untrained["val_loss"], abs=1e-6)
    assert first.metrics["val_acc"] == untrained["val_acc"]
    assert world.losses == plain.losses
    assert [event.step for event in later] == [2, 4, 6, 7]
    assert manifest.best(world.run).step > 0


def test_no_further_set_takes_the_name_of_the_untrained_evaluation(bench, tmp_path):
    config = bench.options(eval_at_start=True, data__extra_val={"untrained": str(bench.val)})
    refused = train(tmp_path / "run", config, 1, quick_end)
    assert refused.codes == [2] and "name that set otherwise" in refused.log()


def test_training_pairs_are_measured_as_validation_pairs_are_and_nothing_is_trained_otherwise(bench, tmp_path):
    """The whole training file as a further validation set is the reference."""
    asked = bench.options(num_epochs=1, eval_train=10**6, data__extra_val={"again": str(bench.train)})
    world = train(tmp_path / "run", asked, 1, quick_end)
    plain = train(tmp_path / "plain", bench.options(num_epochs=1), 1, quick_end)
    assert world.codes == plain.codes == [0], world.log()
    own, again = ({e.data.get("set"): e for e in world.of("eval")}[name] for name in ("train", "again"))
    for name in ("val_loss", "val_acc", "val_pairs"):
        assert own.metrics[name] == pytest.approx(again.metrics[name], abs=1e-6)
    assert world.losses == plain.losses
    few = train(tmp_path / "few", bench.options(num_epochs=1, eval_train=5), 1, quick_end)
    assert {e.data.get("set"): e for e in few.of("eval")}["train"].metrics["val_pairs"] == 5
