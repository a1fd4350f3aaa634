"""Two runs on versions of one data set: which pairs were relabelled between them, and what the untouched ones say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmtui.guide import paired_test
from rmtui.guide.paired_test import Clusters, PairedTest, Rewards, counted_pairs, right
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.i18n import translate
from trainer.intervals import Interval, accuracy_interval, effective_pairs

if TYPE_CHECKING:
    from rmtui.documents.guide import RelabelledDocument, RelabelledPairs

NAMED = 5
"""Pairs of a kind that are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids of pairs whose label is another one in the second version than in the first."""

    flipped: tuple[str, ...] = ()
    first_only: tuple[str, ...] = ()
    """Tied or dropped in the second alone."""
    second_only: tuple[str, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """All of them."""
        return frozenset((*self.flipped, *self.first_only, *self.second_only))


@dataclass(frozen=True, slots=True)
class Half:
    """Training or validation pairs of two runs, by the hashes that both recorded."""

    same: bool | None
    """None: not recorded of both."""
    difference: Difference | None = None
    """None where they are the same, and where no log connects them."""


@dataclass(frozen=True, slots=True)
class Untouched:
    """Pairs that are the same in both validation files and that both scored; at least one."""

    accuracy: tuple[Interval, Interval]
    n: int
    clusters: int
    test: PairedTest | None
    """None with fewer than two clusters."""


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What logs of `relabel` say of a run against the first one."""

    train: Half
    val: Half
    untouched: Untouched | None = None
    """None without such pairs, and where the validation pairs are all the same: then every pair is."""
    damaged: tuple[str, ...] = ()
    """Logs that cannot be read and may connect the two."""

    @property
    def connected(self) -> bool:
        return any(half.difference is not None for half in (self.train, self.val))


def untouched(
    a: Rewards, b: Rewards, difference: Difference, limits: Thresholds = DEFAULT, clusters: Clusters | None = None
) -> Untouched | None:
    """Accuracies with intervals and the paired test on the pairs that both scored, without those that were changed."""
    common = sorted((a.keys() & b.keys()) - difference.ids)
    if not common:
        return None
    names = [(clusters or {}).get(key, f"={key}") for key in common]
    around = []
    for scored in (a, b):
        hits = [right(scored[key]) for key in common]
        known = effective_pairs(hits, names)
        share = sum(hits) / len(hits)
        around.append(accuracy_interval(share, len(hits), known.clusters, known.effective, limits.level))
    test = paired_test.paired_test({key: a[key] for key in common}, {key: b[key] for key in common}, limits, clusters)
    return Untouched((around[0], around[1]), len(common), len(set(names)), test)


def document(found: Relabelled) -> RelabelledDocument:
    """As `compare --json` holds it."""
    rest = found.untouched
    return {
        "train": _pairs(found.train),
        "val": _pairs(found.val),
        "untouched": None
        if rest is None
        else {
            "n": rest.n,
            "accuracy": [one.value for one in rest.accuracy],
            "interval": [[one.low, one.high] for one in rest.accuracy],
            "verdict": None if rest.test is None else paired_test.document(rest.test),
        },
        "damaged_logs": list(found.damaged),
    }


def _pairs(half: Half) -> RelabelledPairs:
    found = half.difference
    return {
        "same": half.same,
        "flipped": None if found is None else list(found.flipped),
        "a_only": None if found is None else list(found.first_only),
        "b_only": None if found is None else list(found.second_only),
    }


def texts(
    found: Relabelled, a: str, b: str, scored: tuple[bool, bool], lang: str, limits: Thresholds = DEFAULT
) -> list[str]:
    """What was relabelled between `a` and `b`, and whether it helped on the pairs that were not."""
    said = [translate("relabelled.damaged", lang, log=log) for log in found.damaged]
    if not found.connected:
        return said
    for half, key in ((found.train, "trained"), (found.val, "validated")):
        if half.difference is not None:
            changes = changes_text(half.difference, a, b, lang)
            said.append(translate(f"relabelled.{key}", lang, a=a, b=b, changes=changes))
    if found.train.same:
        said.append(translate("relabelled.same_training", lang))
    elif found.train.difference is None:
        said.append(translate("relabelled.other_training", lang))
    if found.val.same:
        said.append(translate("relabelled.same_validation", lang))
    elif found.val.difference is None:
        said.append(translate("relabelled.other_validation", lang))
    else:
        said += _untouched_texts(found.untouched, a, b, scored, lang, limits)
    return said


def _untouched_texts(
    found: Untouched | None, a: str, b: str, scored: tuple[bool, bool], lang: str, limits: Thresholds
) -> list[str]:
    if not all(scored):
        missing = ", ".join(name for name, known in zip((a, b), scored, strict=True) if not known)
        return [translate("relabelled.unscored", lang, missing=missing)]
    if found is None:
        return [translate("relabelled.none_untouched", lang)]
    (one, other), n = found.accuracy, counted_pairs(found.n, found.clusters, lang)
    around = {"low_a": one.low, "high_a": one.high, "low_b": other.low, "high_b": other.high}
    said = translate("relabelled.untouched", lang, n=n, a=a, b=b, value_a=one.value, value_b=other.value, **around)
    if found.test is None:
        return [said, translate("verdict.too_few", lang, a=a, b=b)]
    return [said, *paired_test.texts(found.test, a, b, lang, limits)]


def changes_text(found: Difference, a: str, b: str, lang: str) -> str:
    """`3 flipped (p3, p4, p9), 2 in a only (p6, p8)`."""
    kinds = (("flipped", found.flipped), ("a_only", found.first_only), ("b_only", found.second_only))
    parts = [
        translate(f"relabelled.{kind}", lang, count=len(ids), ids=_named(ids), a=a, b=b) for kind, ids in kinds if ids
    ]
    return translate("relabelled.between", lang).join(parts) or translate("relabelled.no_label", lang)


def _named(ids: Sequence[str]) -> str:
    return ", ".join([*ids[:NAMED], *(["…"] if len(ids) > NAMED else [])])
