"""What a metric's name says: which figure it is, and of which pairs. Nothing is of the validation unless words say so.

The words may be part of the name (`eval_loss`, `val/acc`, `验证损失`), or stand over it: a section, a line, a file.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple


class Split(StrEnum):
    """Whose pairs a figure is of."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class MetricName(NamedTuple):
    """A name as a source writes it, with the split that a section, line or file says where the name itself does not."""

    written: str
    split: Split | None = None

    @property
    def shown(self) -> str:
        """As people are shown where a metric comes from."""
        return f"{self.written} ({self.split})" if self.split and split_in(self.written) is None else self.written


_WORDS = {
    Split.VALIDATION: (
        r"(?<![a-z])(?:eval(?:s|uat[^\W\d_]*|uier[^\W\d_]*|uación)?|val(?:s|id[^\W\d_]*|utazione)?|dev(?:el|elopment)?)(?![a-z])"
        r"|(?<![a-z])(?:évaluation|evaluaci[óo]n|avalia[^\W\d_]+)|валид|оценк|验证|驗證|评估|評估|评测|评价|校验|开发集"
        r"|検証|評価|バリデーション|검증|평가"
    ),
    Split.TEST: r"(?<![a-z])(?:test(?:s|ing|e)?|prueba)(?![a-z])|тест|测试|測試|テスト|테스트",
    Split.TRAIN: (
        r"(?<![a-z])(?:train(?:s|ing)?|entrenamiento|treino|entra[iî]nement|addestramento)(?![a-z])"
        r"|обуч|训练|訓練|学習|훈련|학습"
    ),
}
_SPLITS = {split: re.compile(pattern) for split, pattern in _WORDS.items()}
_STEMS = ("val", "dev", "test", "train", "prueba", "entren", "treino", "addestr")
"""One of these is in each of these words that is ASCII: text without is searched no further."""
_SET = r"(?:\s+(?:set|results?|metrics|scores|stage|phase)|集|结果|指标|阶段)?"
_PLACE = (
    r"""["'\s)*\]:,@-]*(?:(?:at|after|for|on|in|of|the|end)\s+){0,4}"""
    r"(?:(?:global[_ ])?(?:step|epoch|iter(?:ation)?|round)s?\s*[:=#]?\s*\d+(?:/\d+)?|\d+/\d+)(?![\w.])"
)
"""Where the training was: `Evaluation at step 200`, `[Eval] 200/400`."""
_NOW = r"(?<!next )(?<!until )(?<!before )(?<!last )(?<!since )"
"""Not so `next eval at step 400`, of which the figures behind it are none."""
_KEYED = r"""(?:split|phase|mode|stage|subset|set)["']?\s*[:=]\s*["']?(?:{})(?![\w.-])"""
"""`"split": "val"` in the line."""
_HEADINGS = {
    split: re.compile(
        rf"""{_NOW}(?:{words}){_SET}(?:["'\s)*\]]*[:({{\[|]|{_PLACE}|[\w /.-]{{0,24}}\])|{_KEYED.format(words)}"""
    )
    for split, words in _WORDS.items()
}
_LABELS = {
    split: re.compile(
        rf"""{_NOW}(?:{words})(?:[\w /"'.-]{{0,24}}?[:=({{\[|\]]|{_SET}{_PLACE})|{_KEYED.format(words)}"""
    )
    for split, words in _WORDS.items()
}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PIECES = re.compile(r"[^\W_]+")
_DRESS = frozenset(
    (
        *("avg", "average", "mean", "epoch", "final", "reduced", "step", "batch", "running", "current", "the", "set"),
        *(
            "on",
            "of",
            "metrics",
            "results",
            "core",
            "rewards",
            "reward",
            "rm",
            "prm",
            "model",
            "is",
            "higher",
            "better",
        ),
        *("pair", "pairs", "pairwise", "preference", "preferences"),
        *("集", "的"),
    )
)
"""Words beside a metric's own that change nothing of what it is."""
_BESIDE = _DRESS | frozenset(
    (
        *(
            "with",
            "and",
            "a",
            "an",
            "has",
            "had",
            "got",
            "at",
            "to",
            "by",
            "now",
            "overall",
            "total",
            "new",
            "its",
            "our",
        ),
        *("reached", "mini", "micro", "global", "iter", "iteration", "info", "debug", "warning", "critical", "ranking"),
    )
)
"""Words that may stand before a metric's name in free text and leave it what it is: `with accuracy 0.61`."""
_SPEAKERS = frozenset(
    (
        *("error", "root", "main", "result", "results", "summary", "stats", "statistics", "log", "logs", "logger"),
        *("output", "report", "performance", "progress", "status", "wandb", "stdout", "stderr", "python", "rank"),
        *("default", "worker", "node", "gpu", "cuda", "device", "process", "round", "time", "note", "score", "scores"),
    )
)
"""Who or what may speak before a colon without being a set of pairs."""
_LOSS, _ACCURACY, _MARGIN = frozenset({"loss"}), frozenset({"accuracy"}), frozenset({"margin"})
_SAME = {
    **dict.fromkeys(("losses", "损失", "損失", "verlust", "perte", "pérdida", "perda"), "loss"),
    **dict.fromkeys(("acc", "accuracies", "准确率", "準確率", "正确率", "精度", "genauigkeit", "точность"), "accuracy"),
    **dict.fromkeys(("正解率", "정확도", "acurácia", "exactitud"), "accuracy"),
    "margins": "margin",
    **dict.fromkeys(("梯度范数",), "gradnorm"),
    **dict.fromkeys(("lr", "学习率", "學習率"), "rate"),
    "gradient": "grad",
}
_REWARD = re.compile(
    r"acc(?:urac(?:y|ies))?[_ .-]?rewards?(?![a-z])|(?<![a-z])rewards?/(?!accuracies|margins)[^/]+/(?:mean|std)$", re.I
)
"""What a reward function gave on average (`rewards/accuracy_reward/mean` of GRPO): no accuracy, whatever its name."""
_ONE = frozenset({"step", "batch", "running", "current"})
"""Of one batch of an evaluation, `val_loss_step` of Lightning, or of steps of reasoning: not the evaluation's."""
_PROCESS = "prm"
"""A source with a metric of this name trains a process reward model: its accuracy is of steps, not of pairs."""
_PLAIN = {
    frozenset({"rate"}): "learning_rate",
    frozenset({"learning", "rate"}): "learning_rate",
    frozenset({"grad", "norm"}): "grad_norm",
    frozenset({"gradnorm"}): "grad_norm",
}
"""Metrics of the training itself, whoever's name stands before them."""
_OF_SPLIT = {
    (_LOSS, Split.VALIDATION): "val_loss",
    (_LOSS, Split.TEST): "test_loss",
    (_LOSS, Split.TRAIN): "train_loss",
    (_LOSS, None): "loss",
    (_ACCURACY, Split.VALIDATION): "val_acc",
    (_ACCURACY, Split.TEST): "test_acc",
    (_ACCURACY, Split.TRAIN): "train_acc",
    (_ACCURACY, None): "train_acc",
    (_MARGIN, Split.VALIDATION): "reward_margin",
    (_MARGIN, Split.TEST): "test_margin",
    (_MARGIN, Split.TRAIN): "train_margin",
    (_MARGIN, None): "train_margin",
}
_SECTIONS = {Split.VALIDATION: "val_", Split.TEST: "test_"}
"""Before a figure of no known kind that a section says is not of the training."""
KNOWN = frozenset((*_PLAIN.values(), *_OF_SPLIT.values()))
VALIDATION_METRICS = ("val_loss", "val_acc", "reward_margin")
ACCURACIES = ("val_acc", "test_acc", "train_acc")
_OF_TRAINING = frozenset({"loss", "train_loss", "learning_rate", "grad_norm"})
STEPS_RIGHT = {name: name.replace("acc", "step_acc") for name in ACCURACIES}
"""Accuracy of pairs → of steps of reasoning."""
FROM_TEST = {"test_loss": "val_loss", "test_acc": "val_acc", "test_margin": "reward_margin"}
_OURS = frozenset({"val_ties", "pairs_per_s", "tokens_per_s"})
"""Names that no other trainer writes: a source with one of them uses rmtui's own names."""


_ENDS = (
    (re.compile(r"[_/.]loss$", re.IGNORECASE), "val_loss"),
    (re.compile(r"[_/.](?:rewards/)?acc(?:urac(?:y|ies))?$", re.IGNORECASE), "val_acc"),
    (re.compile(r"[_/.](?:rewards/)?margins?$", re.IGNORECASE), "reward_margin"),
)
"""How the name of a validation set's metric ends."""


def _may_name_split(lower: str) -> bool:
    return not lower.isascii() or any(stem in lower for stem in _STEMS)


@lru_cache(maxsize=4096)
def split_in(words: str) -> Split | None:
    """The split that some words speak of; None where they speak of none, or of several."""
    if not _may_name_split(words.lower()):
        return None
    plain = _HUMP.sub("_", words).lower()
    found = [split for split, pattern in _SPLITS.items() if pattern.search(plain)]
    return found[0] if len(found) == 1 else None


class SplitLabels:
    """Labels in a line that say whose pairs the figures behind them are of: `val: …`, `Validation set | …`.

    Unless `heading` is asked for, a name with its value (`val_loss=0.6, acc=`) is such a label, too.
    """

    def __init__(self, line: str, heading: bool) -> None:
        self._ends: list[int] = []
        self._splits: list[Split] = []
        if not _may_name_split(line.lower()):
            return
        self._humps = [match.start() for match in _HUMP.finditer(line)]
        plain = _HUMP.sub("_", line).lower()
        found = sorted(
            (match.start(), match.end(), split)
            for split, label in (_HEADINGS if heading else _LABELS).items()
            for match in label.finditer(plain)
        )
        self._ends = [end for _, end, _ in found]  # in order, too: a label ends at the first mark behind its word
        self._splits = [split for _, _, split in found]

    def last(self, before: int) -> Split | None:
        """The split whose label stands last before a place of the line."""
        if not self._ends:
            return None
        place = bisect_right(self._ends, before + bisect_left(self._humps, before))
        return self._splits[place - 1] if place else None


def in_table(header: Sequence[str], whole: Split | None = None) -> dict[str, Split | None]:
    """Column → the split that the table says of it; `whole`: what is said of the table itself.

    In a notebook's table of a Trainer (Training Loss, Validation Loss, Accuracy) and in fastai's (train_loss,
    valid_loss, accuracy, time) every figure but the training's loss is of the validation.
    """
    lower = [name.strip().lower() for name in header]
    notebook = "training loss" in lower and "validation loss" in lower
    fastai = lower[:3] == ["epoch", "train_loss", "valid_loss"] and lower[-1] == "time"
    validated = Split.VALIDATION if notebook or fastai else whole
    return {name: validated if split_in(name) is None else None for name in header}


def without_splits(words: str) -> str:
    """What is left of some words without those that name a split."""
    plain = _HUMP.sub("_", words).lower()
    for pattern in _SPLITS.values():
        plain = pattern.sub(" ", plain)
    return plain


@lru_cache(maxsize=4096)
def metric(name: MetricName) -> str:
    """rmtui's name of a metric; an unknown one keeps its own."""
    split = split_in(name.written) or name.split
    pieces = _PIECES.findall(without_splits(name.written))
    words = frozenset(_SAME.get(word, word) for piece in pieces for word in _parted(piece)) - _DRESS
    if words in _PLAIN:
        return _PLAIN[words]
    of_steps = split_in(name.written) is None or re.match(r"train\w*[/.]", name.written, re.IGNORECASE)
    if words == _LOSS and split is Split.TRAIN and of_steps:
        return "loss"  # a section, or a logger's prefix, over the losses of single steps
    if _REWARD.search(name.written):
        words = frozenset()
    if split in (Split.VALIDATION, Split.TEST) and not _ONE.isdisjoint(pieces):
        words = frozenset()
    section = _SECTIONS.get(name.split, "") if name.split and split_in(name.written) is None else ""
    return _OF_SPLIT.get((words, split), section + name.written.strip())


def _parted(piece: str) -> list[str]:
    """Chinese writes its words together: what dresses a name is taken off its ends."""
    return [piece.strip("集的")] if not piece.isascii() and piece.strip("集的") else [piece]


def names_another(word: str) -> bool:
    """Whether a word before `loss` or `accuracy` makes it something else: `aux loss`, `RewardBench accuracy`."""
    return word.lower() not in _BESIDE and split_in(word) is None


_NOT_NOW = frozenset(
    (
        *(
            "target",
            "goal",
            "threshold",
            "minimum",
            "min",
            "maximum",
            "max",
            "required",
            "expected",
            "desired",
            "previous",
        ),
        *(
            "prev",
            "old",
            "last",
            "initial",
            "baseline",
            "reference",
            "random",
            "chance",
            "from",
            "than",
            "below",
            "above",
        ),
        *("until", "was", "far", "exceeds", "reaches"),
    )
)


def is_of_elsewhen(word: str) -> bool:
    """Whether a word before a metric says that it was not measured here and now: `target val_acc`, `from val_acc`."""
    return word.lower() in _NOT_NOW


def names_figure(name: str) -> bool:
    """Whether a name has a loss, an accuracy or a margin in it, whatever else it says."""
    pieces = _PIECES.findall(_HUMP.sub("_", name).lower())
    return any(_SAME.get(piece, piece) in ("loss", "accuracy", "margin") for piece in pieces)


def names_a_set(label: str) -> bool:
    """Whether a label before figures, `helpful: acc=0.71`, is a name of pairs, and of no program, level or rank."""
    plain = _HUMP.sub("_", label).lower()
    words = re.findall(r"[^\W\d_]+", plain)
    speaks = not words or "." in label or "train" in plain or all(word in _SPEAKERS for word in words)
    return not speaks and any(names_another(word) for word in words) and metric(MetricName(label)) not in KNOWN


def of_set(label: str, written: str, split: Split | None) -> str:
    """The name of a figure that is of pairs with a label: `val_helpful acc`."""
    return f"{_SECTIONS.get(split, '') if split else ''}{label} {written}"


def is_validation(name: MetricName) -> bool:
    """Whether words say that a figure is of the validation, whatever figure it is."""
    return (split_in(name.written) or name.split) is Split.VALIDATION


def is_bare(name: MetricName, known: str) -> bool:
    """Whether a metric counts as the training's only because nothing says whose it is."""
    return known in ("train_acc", "train_margin") and name.split is None and split_in(name.written) is None


def speaks_of_training(known: Iterable[str]) -> bool:
    """Whether there is a metric that only a training has, so that what nobody says whose it is can be the training's.

    `known` are rmtui's names.
    """
    return not _OF_TRAINING.isdisjoint(known)


def names_of(names: Iterable[MetricName], ours: bool = False) -> dict[MetricName, str]:
    """Each name of one source → rmtui's. Of several that mean one metric the plainest gets its name.

    The others keep their own; so do all where the source is `ours`. A test set's figures are the validation's where
    nothing else was validated.
    """
    names = list(names)
    if ours or not _OURS.isdisjoint(name.written for name in names):
        return {name: name.written for name in names}
    known = {name: metric(name) for name in names}
    if any(_PROCESS in _PIECES.findall(name.written.lower().replace("_", " ")) for name in names):
        known = {name: STEPS_RIGHT.get(found, found) for name, found in known.items()}
    if not speaks_of_training(known.values()):
        known = {name: name.written.strip() if is_bare(name, found) else found for name, found in known.items()}
    if not any(found in VALIDATION_METRICS for found in known.values()):
        known = {name: FROM_TEST.get(found, found) for name, found in known.items()}
    if not any(found in VALIDATION_METRICS for found in known.values()):
        known |= _of_first_set(names)
    holders: dict[str, MetricName] = {}
    for name, found in known.items():
        if found not in holders or _dress(name) < _dress(holders[found]):
            holders[found] = name
    return {name: found if holders[found] == name else _own(name, holders) for name, found in known.items()}


def _of_first_set(names: Sequence[MetricName]) -> dict[MetricName, str]:
    """Of several validation sets, `eval_helpful_loss` and `eval_helpful_accuracy` and those of others, the first set's.

    A set has a loss and something else, so that `eval_token_accuracy` alone is none.
    """
    sets: dict[str, dict[MetricName, str]] = {}
    for name in names:
        if (split_in(name.written) or name.split) is Split.VALIDATION:
            for end, metric_of in _ENDS:
                if match := end.search(name.written):
                    sets.setdefault(without_splits(name.written[: match.start()]).strip("_/. "), {})[name] = metric_of
                    break
    return next((found for found in sets.values() if {"val_loss"} < set(found.values())), {})


def _dress(name: MetricName) -> tuple[bool, bool, int]:
    """How far a name is from the plain one: a section's word counts more than words of its own, a batch's more yet
    than an epoch's."""
    pieces = _PIECES.findall(_HUMP.sub("_", name.written).lower())
    said = split_in(name.written) is None and name.split is not None
    return said, not _ONE.isdisjoint(pieces), len(set(pieces) & _DRESS)


def _own(name: MetricName, taken: Mapping[str, MetricName]) -> str:
    written = name.written.strip()
    return written if written not in taken else f"{written} ({name.split or 'other'})"


def sources_of(names: Mapping[MetricName, str]) -> dict[str, str]:
    """Metric → what it is called in the source, where that is another name."""
    return {found: name.shown for name, found in names.items() if name.shown != found}
