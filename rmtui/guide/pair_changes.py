"""Single pairs by their rewards: most wrong, closest, tied, fixed, regressed, likely mislabelled; accuracy by group."""

from __future__ import annotations

import difflib
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rmtui.guide.paired_test import Clusters, Rewards, right
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.statistics import quantile
from trainer.intervals import Interval, accuracy_interval, effective_pairs

_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|\s+|[^\w\s]")
"""Words, runs of blanks, signs; Chinese, Japanese and Korean characters one by one."""
_MOST_WORK = 4_000_000
"""Words times words beyond which only the common start and end are compared."""

BINS = 20
"""Bins of a spread of margins; 0 is between the two in the middle."""

Segment = tuple[str, bool]
"""A piece of an answer, and whether it differs from the other answer."""


def margin(rewards: tuple[float, float]) -> float:
    """Reward of the chosen answer − reward of the rejected one."""
    return rewards[0] - rewards[1]


@dataclass(frozen=True, slots=True)
class MarginSpread:
    """How many reward margins are in each of `BINS` equal bins from −reach to +reach."""

    reach: float
    counts: list[int]
    median: float


def spreads(runs: Sequence[Rewards]) -> list[MarginSpread]:
    """The margins of each run, all on the scale of the widest, as the trainer's own bins are where it is one run."""
    margins = [sorted(map(margin, rewards.values())) for rewards in runs]
    widest = max((abs(end) for found in margins for end in (found[0], found[-1])), default=0.0)
    reach = max(math.ceil(10 * widest) / 10, 0.1)
    return [MarginSpread(reach, _counts(found, reach), median(found)) for found in margins]


def _counts(margins: Sequence[float], reach: float) -> list[int]:
    counts = [0] * BINS
    for size in margins:
        counts[min(int((size + reach) / (2 * reach) * BINS), BINS - 1)] += 1
    return counts


def most_wrong(rewards: Rewards) -> list[str]:
    """Pairs whose rejected answer got the higher reward, the most confident mistake first."""
    return sorted((key for key in rewards if margin(rewards[key]) < 0), key=lambda key: margin(rewards[key]))


def closest(rewards: Rewards, limits: Thresholds = DEFAULT) -> list[str]:
    """Pairs on the edge, closest first: a margin of at most a share of the median one, but no tie."""
    sizes = {key: abs(margin(sides)) for key, sides in rewards.items()}
    if not sizes:
        return []
    edge = median(sizes.values()) * limits.close_margin
    return sorted((key for key, size in sizes.items() if 0 < size <= edge), key=lambda key: sizes[key])


def tied(rewards: Rewards) -> list[str]:
    """Pairs whose answers got the same reward to the last bit."""
    return sorted(key for key, sides in rewards.items() if margin(sides) == 0)


def fixed(before: Rewards, after: Rewards) -> list[str]:
    """Pairs that became right, the widest swing first."""
    return _turned(before, after, wanted=True)


def regressed(before: Rewards, after: Rewards) -> list[str]:
    """Pairs that were right and are not any more, the widest swing first."""
    return _turned(before, after, wanted=False)


def _turned(before: Rewards, after: Rewards, wanted: bool) -> list[str]:
    common = before.keys() & after.keys()
    found = [key for key in common if right(after[key]) is wanted and right(before[key]) is not wanted]
    return sorted(found, key=lambda key: (-abs(margin(after[key]) - margin(before[key])), key))


def suspects(runs: Sequence[Rewards], limits: Thresholds = DEFAULT) -> dict[str, int]:
    """Likely mislabelled pairs → number of runs that are confidently wrong about them, most first.

    Confident is relative to the run: among the widest of its margins, whatever the scale of its rewards.
    """
    counts: dict[str, int] = defaultdict(int)
    depth: dict[str, float] = defaultdict(float)
    for rewards in runs:
        sizes = sorted(abs(margin(sides)) for sides in rewards.values())
        edge = quantile(sizes, 1 - limits.suspect_share) if sizes else 0.0
        for key, sides in rewards.items():
            if (by := -margin(sides)) > 0 and by >= edge:
                counts[key] += 1
                depth[key] += by / edge if edge else 0.0
    found = [key for key, count in counts.items() if count >= limits.suspect_runs]
    return {key: counts[key] for key in sorted(found, key=lambda key: (-counts[key], -depth[key], key))}


@dataclass(frozen=True, slots=True)
class Group:
    """Accuracy over the pairs that share a label."""

    label: str
    n: int
    right: int
    accuracy: Interval


def accuracy_by(
    rewards: Rewards, label: Callable[[str], str | None], level: float = 0.95, clusters: Clusters | None = None
) -> list[Group]:
    """Accuracy of each group of pairs, largest first; `label` maps a pair id to its group, None leaves it out."""
    members: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    for key, sides in rewards.items():
        if (name := label(key)) is not None:
            members[name].append((right(sides), (clusters or {}).get(key, f"={key}")))
    groups = [_group(name, held, level) for name, held in members.items()]
    return sorted(groups, key=lambda group: (-group.n, group.label))


def _group(label: str, held: Sequence[tuple[bool, str]], level: float) -> Group:
    hits = [hit for hit, _ in held]
    n, found = len(hits), effective_pairs(hits, [cluster for _, cluster in held])
    around = accuracy_interval(sum(hits) / n, n, found.clusters, found.effective, level)
    return Group(label, n, sum(hits), around)


def length_labels(lengths: Mapping[str, int]) -> dict[str, str]:
    """Pair id → its quarter by length, named by its bounds; fewer groups where many lengths are equal."""
    ordered = sorted(lengths.values())
    if not ordered:
        return {}
    edges = sorted({ordered[min(len(ordered) - 1, len(ordered) * part // 4)] for part in (1, 2, 3)})
    return {key: _bounds(length, edges) for key, length in lengths.items()}


def _bounds(length: int, edges: Sequence[int]) -> str:
    below = [edge for edge in edges if edge <= length]
    above = [edge for edge in edges if edge > length]
    if not below:
        return f"< {above[0]}"
    return f"{below[-1]} … {above[0] - 1}" if above else f"≥ {below[-1]}"


def differing(chosen: str, rejected: str) -> tuple[list[Segment], list[Segment]]:
    """Both answers in pieces, each marked as common to both or differing."""
    left, right_words = _WORDS.findall(chosen), _WORDS.findall(rejected)
    if len(left) * len(right_words) > _MOST_WORK:
        return _by_ends(left, right_words)
    matcher = difflib.SequenceMatcher(None, left, right_words, autojunk=False)
    sides: tuple[list[Segment], list[Segment]] = ([], [])
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        # A blank that both share between words that differ does not count as common.
        differs = kind != "equal" or not "".join(left[start:end]).strip()
        _add(sides[0], left[start:end], differs)
        _add(sides[1], right_words[other_start:other_end], differs)
    return sides


def _by_ends(left: list[str], other: list[str]) -> tuple[list[Segment], list[Segment]]:
    most = min(len(left), len(other))
    start = next((place for place in range(most) if left[place] != other[place]), most)
    rest = most - start
    end = next((place for place in range(rest) if left[-1 - place] != other[-1 - place]), rest)
    sides: tuple[list[Segment], list[Segment]] = ([], [])
    for side, words in zip(sides, (left, other), strict=True):
        _add(side, words[:start], False)
        _add(side, words[start : len(words) - end], True)
        _add(side, words[len(words) - end :], False)
    return sides


def _add(side: list[Segment], words: Iterable[str], differs: bool) -> None:
    piece = "".join(words)
    if piece and side and side[-1][1] == differs:
        side[-1] = (side[-1][0] + piece, differs)
    elif piece:
        side.append((piece, differs))
