import json
import math
import random
import statistics
from dataclasses import replace

import data_worlds as worlds
import numpy as np
import pytest
import torch
import torch.multiprocessing as processes

from rmtui.guide.pair_changes import spreads
from trainer.data import batches
from trainer.loop import evaluate
from trainer.loop.evaluate import Record

PAIRS = worlds.token_pairs(21)


@pytest.fixture(scope="module")
def reward_model(models):
    made, _ = worlds.load(models / "decoder")
    return made


def one_by_one(reward_model, pairs):
    """Brute force: one side a forward pass, through transformers' own classifier."""
    reward_model.eval()
    with torch.no_grad():
        ask = lambda ids: float(reward_model.inner(input_ids=torch.from_numpy(ids).long()[None]).logits[0, 0])  # noqa: E731
        return [(ask(pair.chosen), ask(pair.rejected)) for pair in pairs]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 21])
@pytest.mark.parametrize("batch", [1, 4, 8, 50])
def test_figures_are_exact_for_every_count_and_batch(reward_model, count, batch):
    pairs = PAIRS[:count]
    found = evaluate.evaluate(reward_model, pairs, reward_model.layout, batch)
    rewards = one_by_one(reward_model, pairs)
    correct = sum(chosen > rejected for chosen, rejected in rewards)
    loss = sum(math.log1p(math.exp(rejected - chosen)) for chosen, rejected in rewards) / count
    assert found.metrics["val_acc"] * count == pytest.approx(correct, abs=1e-9)
    assert found.metrics["val_loss"] == pytest.approx(loss, abs=1e-6)
    assert found.metrics["val_pairs"] == count
    assert [record.id for record in found.records] == sorted(pair.id for pair in pairs)
    for pair, (chosen, rejected) in zip(pairs, rewards, strict=True):
        [record] = [record for record in found.records if record.id == pair.id]
        assert (record.chosen, record.rejected) == (pytest.approx(chosen, abs=2e-6), pytest.approx(rejected, abs=2e-6))


@pytest.mark.parametrize("layout", [{}, {"unpadded": False, "share_prefix": False}])
@pytest.mark.parametrize("tokens", [1, 150, 400, 10_000])
def test_a_token_budget_changes_no_reward_and_is_kept(reward_model, monkeypatch, tokens, layout):
    made = []
    monkeypatch.setattr(evaluate, "collate", lambda *given: made.append(batches.collate(*given)) or made[-1])
    layout = replace(reward_model.layout, **layout)
    found = evaluate.score(reward_model, PAIRS, layout, 4, tokens=tokens)
    assert np.allclose(found, one_by_one(reward_model, PAIRS), atol=2e-6)
    assert sum(batch.pairs for batch in made) == len(PAIRS)
    assert all(batch.ids.numel() <= tokens or batch.pairs == 1 for batch in made)
    assert {1: len(made) == len(PAIRS), 10_000: len(made) == 1}.get(tokens, 1 < len(made) < len(PAIRS))


def score_as_rank(rank, world, folder, model_folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    made, _ = worlds.load(model_folder)
    for count in (1, 7, 21):
        found = evaluate.evaluate(made, PAIRS[:count], made.layout, 4, rank, world)
        found.write(folder / f"{rank}-{count}.jsonl")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_every_rank_finds_the_same_exact_records(models, reward_model, tmp_path, world):
    processes.start_processes(score_as_rank, (world, tmp_path, models / "decoder"), world, start_method="spawn")
    for count in (1, 7, 21):
        found = [[json.loads(line) for line in (tmp_path / f"{r}-{count}.jsonl").open()] for r in range(world)]
        assert all(rank == found[0] for rank in found)
        alone = evaluate.evaluate(reward_model, PAIRS[:count], reward_model.layout, 1).records
        assert [row["id"] for row in found[0]] == [record.id for record in alone]
        for row, record in zip(found[0], alone, strict=True):
            assert row["chosen"] == pytest.approx(record.chosen, abs=2e-6)


def test_evaluation_is_deterministic_and_leaves_the_mode_as_it_was(models):
    made, _ = worlds.load(models / "decoder", lora={"dropout": 0.5, "r": 4})
    made.train()
    first, second = (evaluate.score(made, PAIRS, made.layout, 4) for _ in range(2))
    assert first == second and made.training
    padded = replace(made.layout, unpadded=False, share_prefix=False)
    assert np.allclose(first, evaluate.score(made, PAIRS, padded, 7), atol=2e-6)


def test_ties_are_counted_apart_and_are_not_right():
    records = [Record("a", 1.0, 1.0, 5, 5), Record("b", 2.0, 1.0, 3, 9), Record("c", 0.0, 3.0, 9, 3)]
    found = evaluate.summary(records)
    assert (found["val_ties"], found["val_acc"], found["val_pairs"]) == (1, pytest.approx(1 / 3), 3)
    assert (found["val_acc_chosen_shorter"], found["pairs_chosen_shorter"]) == (1.0, 1)
    assert found["reward_margin"] == pytest.approx(-2 / 3)


def test_calibration_and_length_figures_of_made_up_rewards():
    sure = math.log(0.95 / 0.05)
    margins = np.array([sure] * 19 + [-sure])  # says 95 %, is right in 95 %
    assert evaluate.calibration_error(margins) == pytest.approx(0.0, abs=1e-12)
    assert evaluate.calibration_error(np.array([sure, -sure])) == pytest.approx(0.45)
    long_wins = [Record(str(n), float(n), float(n) / 2, 10 * n, 5 * n) for n in range(1, 9)]
    assert evaluate.summary(long_wins)["length_correlation"] == pytest.approx(1.0)


def test_calibration_error_is_the_mean_gap_weighted_by_the_pairs_of_each_bin():
    """Against the definition of Guo et al. 2017, written out: bins of a tenth of the range of |σ − 0.5|. Every other
    bin is wrong throughout, so that no two can be taken together unnoticed."""
    random = np.random.default_rng(3)
    sizes = [abs(float(one)) for one in random.normal(0.4, 2.0, 500)]
    odd = [math.floor((1 / (1 + math.exp(-size)) - 0.5) / 0.05) % 2 for size in sizes]
    margins = [-size if wrong else size for size, wrong in zip(sizes, odd, strict=True)] + [0.0, 0.0, 50.0, -50.0]
    bins = [[] for _ in range(10)]
    for margin in margins:
        sure = 1 / (1 + math.exp(-abs(margin)))
        right = 0.5 if margin == 0 else float(margin > 0)
        bins[min(9, math.floor((sure - 0.5) / 0.05))].append((sure, right))
    assert all(len(held) > 5 for held in bins) and len({len(held) for held in bins}) > 4
    gaps = [abs(np.mean([right for _, right in held]) - np.mean([sure for sure, _ in held])) for held in bins]
    expected = sum(gap * len(held) for gap, held in zip(gaps, bins, strict=True)) / len(margins)
    assert evaluate.calibration_error(np.array(margins)) == pytest.approx(expected, abs=1e-12)


def test_every_figure_of_an_evaluation_against_its_definition():
    random = np.random.default_rng(5)
    rewards = random.normal(0, 1, (60, 2)).tolist()
    lengths = random.integers(5, 90, (60, 2)).tolist()
    found = evaluate.summary([Record(str(n), *rewards[n], *lengths[n]) for n in range(60)])
    gaps = [chosen - rejected for chosen, rejected in rewards]
    flat, sizes = [one for sides in rewards for one in sides], [one for sides in lengths for one in sides]
    shorter = [gap for gap, (chosen, rejected) in zip(gaps, lengths, strict=True) if chosen < rejected]
    assert found["val_loss"] == pytest.approx(sum(math.log1p(math.exp(-gap)) for gap in gaps) / 60, abs=1e-12)
    assert found["val_acc"] * 60 == pytest.approx(sum(gap > 0 for gap in gaps), abs=1e-9)
    assert found["reward_mean"] == pytest.approx(statistics.fmean(flat))
    assert found["reward_std"] == pytest.approx(statistics.pstdev(flat))
    assert found["reward_margin"] == pytest.approx(statistics.fmean(gaps))
    assert found["pairs_chosen_shorter"] == len(shorter) > 20
    assert found["val_acc_chosen_shorter"] == pytest.approx(sum(gap > 0 for gap in shorter) / len(shorter))
    assert found["length_correlation"] == pytest.approx(statistics.correlation(flat, sizes))


def test_histogram_holds_every_finite_margin_once():
    found = evaluate.histogram(np.array([-2.0, -0.1, 0.0, 0.1, 2.0, np.nan, np.inf]))
    assert sum(found.counts) == 5
    assert found.edges[0] == -found.edges[-1] and found.edges[0] <= -2.0


def test_the_spread_that_is_shown_is_the_histogram_that_was_recorded():
    chance = random.Random(7)
    margins = [chance.gauss(0.4, 1) for _ in range(300)] + [0.0, 0.0]
    found = evaluate.histogram(np.array(margins))
    (shown,) = spreads([{str(n): (size, 0.0) for n, size in enumerate(margins)}])
    assert (shown.reach, shown.counts) == (found.edges[-1], found.counts)


def test_one_pair_has_no_correlation_but_every_other_figure():
    found = evaluate.summary([Record("a", 1.0, 0.0, 4, 4)])
    assert found["val_acc"] == 1.0 and "length_correlation" not in found


def test_layouts_can_be_chosen_for_each_evaluation(reward_model):
    shared = batches.collate(PAIRS, reward_model.layout)
    plain = batches.collate(PAIRS, replace(reward_model.layout, share_prefix=False))
    assert shared.tokens < plain.tokens


def test_pairs_of_one_prompt_count_as_fewer_in_the_metrics():
    rng = np.random.default_rng(9)
    ranked = np.repeat(rng.random(40) < 0.7, 5) ^ (rng.random(200) < 0.1)
    records = [Record(f"{n:03}", float(one), 0.5, 9, 9, f"prompt-{n // 5}") for n, one in enumerate(ranked)]
    found = evaluate.summary(records)
    share = ranked.mean()
    sums = (ranked - share).reshape(40, 5).sum(axis=1)
    error = np.sqrt(40 / 39 * (sums**2).sum()) / 200
    assert found["val_clusters"] == 40 and found["val_effective"] == pytest.approx(share * (1 - share) / error**2)
    assert found["val_effective"] < 120
    alone = [Record(f"{n:03}", float(one), 0.5, 9, 9) for n, one in enumerate(ranked)]
    assert "val_clusters" not in evaluate.summary(alone)
