"""Preference pairs made from the topics: a helpful answer against one with a flaw that has a name.

Lengths tell nothing: about every second chosen answer is the shorter one. One flaw, an answer to another question,
needs an understanding that a tiny model does not have; a demo that reached 100 % would teach the wrong thing.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOPICS = Path(__file__).with_name("topics.txt")
PAIRS_A_QUESTION = {"train": 2, "val": 4}
LONGER = 0.5
"""How often a longer flawed answer is looked for; not every flaw has one."""

QUESTIONS = (
    "How do I {task}?",
    "What is a good way to {task}?",
    "Can you tell me how to {task}?",
    "I want to {task}. Where do I start?",
)
HELPFUL = (
    "{First}.",
    "{First}, then {second}.",
    "{First}. After that, {second}. {reason}",
    "{reason} So {first}, and {second}.",
    "Begin like this: {first}. {reason}",
    "There are two steps. {First}. Then {second}.",
)
FLAWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "evasive": (
        ("It depends.", "That is hard to say.", "There are many opinions about {thing}.", "Who knows."),
        (
            "Everybody has to find out alone.",
            "Some people say one thing and some people say another, and maybe both are right.",
            "I would rather not commit myself.",
        ),
    ),
    "vague": (
        (
            "Just do it properly.",
            "Be careful with {thing}.",
            "Try to {task} as well as you can.",
            "Use the usual method.",
        ),
        (
            "It will work out somehow.",
            "With the right things at the right moment it always goes well in the end, more or less.",
            "The rest is a matter of feeling.",
        ),
    ),
    "rude": (
        ("What a silly question.", "Not again.", "Anybody can {task}.", "You should know that by now."),
        (
            "Stop wasting my time.",
            "People who cannot even do that should leave {thing} alone and annoy somebody else with it.",
            "Think for once.",
        ),
    ),
    "passed on": (
        ("Look it up somewhere.", "Ask somebody else.", "There are books about {thing}.", "I am sure an expert knows."),
        (
            "I have no time for it today.",
            "Surely somebody in your family or in your street has done this before and can explain it all.",
            "That is not my business.",
        ),
    ),
    "empty praise": (
        (
            "What a wonderful question!",
            "I love to talk about {thing}!",
            "Great that you want to {task}!",
            "How exciting!",
        ),
        (
            "So much could be said about it.",
            "You are clearly a person with excellent taste, and I wish you all the luck in the world with it.",
            "Have fun!",
        ),
    ),
}
ELSEWHERE = "answers another question"


@dataclass(frozen=True, slots=True)
class Topic:
    """One line of topics.txt."""

    thing: str
    task: str
    first: str
    second: str
    reason: str


def topics(path: Path = TOPICS) -> tuple[list[Topic], list[Topic]]:
    """Topics for training and, below the line `# validation`, for validation."""
    before, after = path.read_text(encoding="utf-8").split("# validation\n")
    return _parse(before), _parse(after)


def _parse(text: str) -> list[Topic]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [Topic(*(part.strip() for part in line.split("|"))) for line in lines]


def make(of: list[Topic], name: str, seed: int = 7) -> list[dict[str, str]]:
    """Pairs about the topics, as rows of a data file; the same for the same seed. Every pair is distinct."""
    chance = random.Random(f"{seed} {name}")
    rows = [row for topic in of for row in _about(topic, of, PAIRS_A_QUESTION[name], chance)]
    chance.shuffle(rows)
    return [{"id": f"demo-{name}-{n:04}", **row} for n, row in enumerate(rows, 1)]


def write(folder: Path) -> tuple[Path, Path]:
    """data/train/demo_pairs.jsonl and data/val/demo_pairs.jsonl below `folder`; existing files stay as they are."""
    paths = []
    for name, of in zip(("train", "val"), topics(), strict=True):
        path = folder / name / "demo_pairs.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in make(of, name))
            path.write_text("".join(lines), encoding="utf-8")
        paths.append(path)
    return paths[0], paths[1]


def texts(rows: list[dict[str, str]]) -> Iterator[str]:
    """What the demo's tokenizer is trained on."""
    for row in rows:
        yield from (row["prompt"], row["chosen"], row["rejected"])


def _about(topic: Topic, others: list[Topic], count: int, chance: random.Random) -> Iterator[dict[str, str]]:
    for question in QUESTIONS:
        prompt = question.format(task=topic.task)
        good = chance.sample(HELPFUL, count)
        flaws = chance.sample([*FLAWS, *FLAWS, ELSEWHERE], count)
        for pattern, flaw in zip(good, flaws, strict=True):
            chosen = _helpful(pattern, topic)
            yield {
                "prompt": prompt,
                "chosen": chosen,
                "rejected": _flawed(flaw, chosen, topic, others, chance),
                "flaw": flaw,
            }


def _helpful(pattern: str, topic: Topic) -> str:
    first = topic.first[0].lower() + topic.first[1:]
    return pattern.format(First=topic.first, first=first, second=topic.second, reason=topic.reason)


def _flawed(flaw: str, like: str, topic: Topic, others: list[Topic], chance: random.Random) -> str:
    """An answer with this flaw; longer than the helpful one in about half of the cases."""
    candidates = sorted(_elsewhere(topic, others) if flaw == ELSEWHERE else _openings(flaw, topic))
    longer = chance.random() < LONGER
    fitting = [text for text in candidates if (len(text) > len(like)) == longer]
    return chance.choice(fitting or candidates)


def _elsewhere(topic: Topic, others: list[Topic]) -> set[str]:
    return {_helpful(pattern, other) for pattern in HELPFUL for other in others if other is not topic}


def _openings(flaw: str, topic: Topic) -> set[str]:
    """Every opening, alone or followed by one or two of the flaw's endings."""
    openings, endings = FLAWS[flaw]
    tails = itertools.chain([()], itertools.permutations(endings, 1), itertools.permutations(endings, 2))
    spoken = (" ".join((opening, *tail)) for opening, tail in itertools.product(openings, tails))
    return {text.format(thing=topic.thing, task=topic.task) for text in spoken}
