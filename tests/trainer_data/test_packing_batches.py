from dataclasses import replace

import data_worlds as worlds
import pytest

from trainer.config import build
from trainer.data import batches as packing

PAIRS = worlds.token_pairs(101)
LAYOUT = packing.Layout(pad_id=0, unpadded=True, share_prefix=True)


def settings(batch, accumulation, **changes):
    return build({"batch_size": batch, "gradient_accumulation_steps": accumulation, **changes})


def steps(batch, accumulation, world, epoch=0, seed=3, pairs=PAIRS, **changes):
    """Per optimizer step: the set of pairs over all ranks."""
    config = settings(batch, accumulation, seed=seed, **changes)
    ranks = [packing.epoch_batches(pairs, config, epoch, world, rank, LAYOUT) for rank in range(world)]
    whole = zip(*ranks, strict=True)
    return [sorted(place for rank in step for micro in rank.micro_batches for place in micro) for step in whole]


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 21, 101])
def test_every_pair_once_an_epoch_for_any_number_of_ranks(count, world, grouped):
    found = steps(4, 2, world, pairs=PAIRS[:count], group_by_length=grouped)
    assert sorted(place for step in found for place in step) == list(range(count))
    assert {len(step) for step in found[:-1]} <= {8 * world}


def test_steps_hold_the_same_pairs_however_they_are_split():
    assert steps(8, 1, 1) == steps(2, 4, 1) == steps(4, 1, 2) == steps(1, 4, 2)


def test_order_follows_seed_and_epoch_only():
    assert steps(4, 2, 1) == steps(4, 2, 1)
    assert steps(4, 2, 1) != steps(4, 2, 1, epoch=1)
    assert steps(4, 2, 1) != steps(4, 2, 1, seed=4)


def test_ranks_get_equally_many_micro_batches_of_at_most_the_batch_size():
    config = settings(3, 3)
    ranks = [packing.epoch_batches(PAIRS[:20], config, 0, 2, rank, LAYOUT) for rank in range(2)]
    assert [[len(step.micro_batches) for step in rank] for rank in ranks] == [[3, 1], [3, 1]]
    assert max(len(micro) for rank in ranks for step in rank for micro in step.micro_batches) == 3


def test_a_ragged_step_of_eight_in_threes():
    [step] = packing.epoch_batches(PAIRS[:8], settings(3, 3), 0, 1, 0, LAYOUT)
    assert sorted(map(len, step.micro_batches)) == [2, 3, 3]


def held(rank):
    """Pairs that a rank computes in each step."""
    return [sum(map(len, step.micro_batches)) for step in rank]


@pytest.mark.parametrize("budget", [0, 1, 60, 10_000])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_step_knows_its_pairs_and_the_most_of_a_rank(world, budget):
    config = settings(3, 3, batch_tokens=budget)
    ranks = [packing.epoch_batches(PAIRS[:43], config, 0, world, rank, LAYOUT) for rank in range(world)]
    counts = list(zip(*map(held, ranks), strict=True))
    assert [sum(one) for one in counts] == [step.pairs for step in ranks[0]]
    assert [max(one) for one in counts] == [step.most for step in ranks[-1]]


@pytest.mark.parametrize(
    "layout", [{}, {"share_prefix": False}, {"unpadded": False}, {"unpadded": False, "apart": "rows"}]
)
@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_token_budget_cuts_the_same_steps_by_what_is_computed(world, layout):
    """Brute force: the batches are made, and their tokens counted; no two neighbours would fit into one."""
    layout = replace(LAYOUT, **layout)
    by_pairs, by_tokens = settings(4, 4), settings(4, 4, batch_tokens=150)
    for epoch in (0, 1):
        usual, cut = (
            [packing.epoch_batches(PAIRS, config, epoch, world, rank, layout) for rank in range(world)]
            for config in (by_pairs, by_tokens)
        )
        for was, now in zip(zip(*usual, strict=True), zip(*cut, strict=True), strict=True):
            assert {p for r in was for m in r.micro_batches for p in m} == {
                p for r in now for m in r.micro_batches for p in m
            }
            assert len({len(rank.micro_batches) for rank in now}) == 1
            for rank in now:
                there = [micro for micro in rank.micro_batches if micro]
                for micro, after in zip(there, [*there[1:], None], strict=True):
                    assert computed(micro, layout) <= 150 or len(micro) == 1
                    assert after is None or computed([*micro, after[0]], layout) > 150


def computed(places, layout):
    batch = packing.collate([PAIRS[place] for place in places], layout)
    return batch.tokens if batch.blocks or layout.apart else batch.ids.numel()


def test_grouping_by_length_cuts_padding():
    def padding(grouped):
        config = settings(8, 1, group_by_length=grouped)
        layout = replace(LAYOUT, unpadded=False)
        batches = [
            packing.collate([PAIRS[i] for i in step.micro_batches[0]], layout)
            for step in packing.epoch_batches(PAIRS, config, 0, 1, 0, layout)
        ]
        return 1 - sum(batch.tokens for batch in batches) / sum(batch.ids.numel() for batch in batches)

    assert padding(True) < 0.8 * padding(False)


def test_sharing_computes_a_prefix_once_and_goes_on_behind_it():
    [pair] = worlds.token_pairs(1, seed=2, shared=4)
    batch = packing.collate([pair], LAYOUT)
    own = len(pair.chosen) - 4
    assert batch.ids[0].tolist() == [*pair.chosen.tolist(), *pair.rejected.tolist()[4:]]
    assert batch.positions[0].tolist() == [*range(len(pair.chosen)), *range(4, len(pair.rejected))]
    assert batch.ids[0, batch.scored].tolist() == [pair.chosen[-1], pair.rejected[-1]]
    assert batch.tokens == pair.cost == own + len(pair.rejected)


@pytest.mark.parametrize(
    "changes", [{}, {"share_prefix": False}, {"unpadded": False}, {"unpadded": False, "pad_left": True}]
)
def test_every_layout_scores_the_last_token_of_each_side(changes):
    batch = packing.collate(PAIRS[:9], replace(LAYOUT, **changes))
    ends = [pair.chosen[-1] for pair in PAIRS[:9]] + [pair.rejected[-1] for pair in PAIRS[:9]]
    assert batch.ids.flatten()[batch.scored].tolist() == ends
