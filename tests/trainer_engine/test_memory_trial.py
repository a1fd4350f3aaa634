"""The trial of the longest batch before step 1: it finds the longest, says so, ends in words, and changes nothing."""

import json
import random

import pytest
import torch
from engine_worlds import GOOD, make_rows, quick_end, train, write_rows

from trainer import manifest
from trainer.loop import memory_trial, round_trip
from trainer.loop import train as loop


def on_cpu(rank):
    quick_end(rank)
    memory_trial.TRIED_ON = frozenset({"cpu"})


@pytest.fixture(scope="module")
def ragged(bench, tmp_path_factory):
    """Training pairs of very different lengths."""
    draw, rows = random.Random(3), make_rows(21)
    for row in rows:
        row["prompt"] += " ".join(draw.choices(GOOD, k=draw.randint(0, 6)))
    path = tmp_path_factory.mktemp("ragged") / "train.jsonl"
    write_rows(path, rows)
    return path


def noting_batches(path):
    """Write the tokens of each micro batch that is trained on."""

    def patch(rank):
        on_cpu(rank)
        compute = loop.rewards

        def noted(model, batch):
            if rank == 0:
                with path.open("a") as file:
                    file.write(f"{batch.ids.numel()} {batch.pairs}\n")
            return compute(model, batch)

        loop.rewards = noted

    return patch


@pytest.mark.parametrize(("ranks", "layout"), [(1, {"unpadded": False}), (2, {})])
def test_the_batch_that_is_tried_is_the_longest_that_comes(bench, ragged, tmp_path, layout, ranks):
    config = bench.options(data__train=str(ragged), **layout)
    world = train(tmp_path, config, ranks, noting_batches(tmp_path / "batches"))
    assert world.codes == [0] * ranks, world.log()
    trained = [tuple(map(int, line.split())) for line in (tmp_path / "batches").read_text().splitlines()]
    tokens = max(trained)[0]
    (event,) = world.of("memory_trial")
    assert event.step == 0 and event.data["tokens"] == tokens and event.data["peak_bytes"] > 1 << 20
    assert f"memory: the longest batch, {event.data['pairs']} pairs with {tokens:,} tokens, fits" in world.log()
    assert world.log().index("memory: ") < world.log().index("step 1/")


@pytest.mark.parametrize(
    "changes",
    [{}, *(pytest.param(one, marks=pytest.mark.slow) for one in ({"mixed_precision": "bf16"}, {"method": "full"}))],
)
def test_a_training_is_the_same_with_it_and_without(bench, ragged, tmp_path, changes):
    """To the bit, also where it resumes: losses and the weights at the end."""
    config = bench.options(data__train=str(ragged), num_epochs=1, save_steps=2, **changes)
    tried = train(tmp_path / "tried", config, 1, on_cpu)
    usual = train(tmp_path / "usual", config, 1, quick_end)
    assert tried.codes == usual.codes == [0], tried.log()
    assert tried.of("memory_trial") and not usual.of("memory_trial")
    assert tried.losses == usual.losses and usual.losses
    name = "model.safetensors" if changes.get("method") == "full" else "adapter_model.safetensors"
    assert (tried.run / "model" / name).read_bytes() == (usual.run / "model" / name).read_bytes()
    first = manifest.checkpoints(tried.run)[0]
    again = train(tried.run, config, 1, on_cpu, ("--resume", first.folder))
    assert again.of("memory_trial")[0].step == first.step
    assert again.losses == {step: loss for step, loss in usual.losses.items() if step > first.step}


def test_a_batch_that_does_not_fit_ends_in_words_before_the_first_step(bench, ragged, tmp_path):
    """The words and the half batch of any out of memory, and the batch's tokens."""

    def full(rank):
        on_cpu(rank)

        def rewards(model, batch):
            torch.empty(1 << 60)  # more than any machine has: the allocator's own words

        memory_trial.rewards = rewards

    world = train(tmp_path, bench.options(data__train=str(ragged)), 1, full)
    assert world.codes == [1] and not world.of("step")
    assert world.result["suggest"] == {"batch_size": 1, "gradient_accumulation_steps": 4, "max_length": 64}
    reason, longest = world.result["reason"], len(world.result["pair_ids"])
    assert reason.startswith("out of memory with batch_size 2,") and "try batch_size 1" in reason
    assert f"the longest batch, {longest} pairs with " in reason and " tokens, tried before the first step: " in reason
    assert world.of("failure")[0].data["type"] == "MemoryError"


def test_another_error_of_the_trial_keeps_its_own_words(bench, ragged, tmp_path):
    def broken(rank):
        on_cpu(rank)

        def rewards(model, batch):
            raise RuntimeError("expected scalar type Float but found BFloat16")

        memory_trial.rewards = rewards

    world = train(tmp_path, bench.options(data__train=str(ragged)), 1, broken)
    assert world.codes == [1] and "expected scalar type" in world.result["reason"]
    assert "out of memory" not in world.result["reason"]


@pytest.mark.parametrize(("seconds", "allowed"), [(3.0, 10.0), (200.0, 10.0), (3600.0, 180.0)])
def test_the_check_at_the_end_is_bounded_by_the_run(seconds, allowed):
    assert round_trip.bound(seconds) == allowed


@pytest.mark.slow
def test_a_check_that_is_cut_short_says_so_and_still_judges(bench, tmp_path):
    def no_time(rank):
        round_trip.LEAST_SECONDS, round_trip.SHARE_OF_RUN = 0.0, 0.0

    world = train(tmp_path, bench.options(num_epochs=1), 1, no_time)
    assert world.codes == [0], world.log()
    assert world.result["verified"] is True
    assert "cut short after 0 s: 1 of 8 pairs were scored" in world.log()
    (check,) = world.of("round_trip")
    assert check.data["cut_short"] is True and check.data["pairs"] == 1
    probe = json.loads((manifest.best(tmp_path).folder / "trainer_state/probe.json").read_text())
    assert check.data["spread"] == pytest.approx(abs(probe[0]["chosen"] - probe[0]["rejected"]))
