"""Does obeying the advice pay? Bots tune reward models on small tasks; the first advice against blind searches.

    python benchmarks/advice.py [--seeds 3] [--tasks 12] [--pairs FILE …] [--bots advice …] [--held-out] [--keep FOLDER]

A task is a set of pairs with a known truth: bag-of-words answers whose hidden score decides, with noise, length bias
or clustered prompts, or a pair file of your own. Its model is a frozen random encoder with a LoRA-like adapter and a
head, trained with AdamW, warm-up and linear decay as the trainer does it. Test pairs are clean and unseen. The oracle
is the best of a grid of rates and epochs by its mean over seeds, chosen on one half of the test pairs and scored, like
every bot, on the other. Regret: points of test accuracy behind the oracle. A bag of words says nothing about the rates
of a language model; it says whether a policy finds the right ones from a wrong start.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import random
import sys
import time
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from statistics import mean

import torch
from regrets import Regrets
from torch import Tensor

from rmtui.guide import advice, divergence, evidence, path, policy, readings, thresholds
from rmtui.guide.model import Advice, Subject
from rmtui.runs.model import Epoch, Run, State
from trainer import calibrate

WORDS, WIDTH, RANK, TEST = 256, 48, 8, 2000
RATES = [10**exponent for exponent in (-4, -3.5, -3, -2.5, -2, -1.5, -1)]
LENGTHS = (1, 2, 4, 8, 16)
BUDGETS = (8, 16)


@dataclass(frozen=True)
class Task:
    """Pairs as logarithms of word counts, (pairs, 2, WORDS) each: the better answer first, but for the noise."""

    name: str
    train: Tensor
    val: Tensor
    test: Tensor


def made(name: str, n: int, noise: float, seed: int, *, length: float = 0.0, prompts: int = 0) -> Task:
    """A task with a hidden score for each word, `length` of it for being long, in `prompts` clusters of topics."""
    make = torch.Generator().manual_seed(seed)
    worth = torch.randn(WORDS, generator=make) * (torch.rand(WORDS, generator=make) < 0.12) * 4
    topics = torch.softmax(torch.randn(max(1, prompts), WORDS, generator=make) * (1.5 if prompts else 0.8), dim=1)

    def pairs(count: int, share: float) -> Tensor:
        topic = topics[torch.randint(len(topics), (count,), generator=make)]
        sizes = torch.randint(8, 40, (count, 2), generator=make)
        drawn = torch.stack([torch.multinomial(topic, 40, replacement=True, generator=make) for _ in range(2)], 1)
        kept = torch.arange(40) < sizes[..., None]
        counts = torch.zeros(count, 2, WORDS).scatter_add_(2, drawn, kept.float())
        score = (counts @ worth) / sizes.sqrt() + length * sizes / 10
        first = score[:, 0] >= score[:, 1]
        first ^= torch.rand(count, generator=make) < share
        return torch.where(first[:, None, None], counts, counts.flip(1))

    drawn = pairs(n, noise), pairs(max(100, min(340, n // 2)), noise), pairs(TEST, 0.0)
    return Task(name, *(counts.log1p() for counts in drawn))


def read(path: Path, n: int, seed: int) -> Task:
    """A task out of a pair file: hashed words of both answers; a third of it is kept for the test."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    random.Random(seed).shuffle(rows)

    def counts(answer: object) -> Tensor:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        found = torch.zeros(WORDS)
        for word in text.lower().split():
            found[sum(map(ord, word)) * 31 % WORDS] += 1
        return found

    both = torch.stack([torch.stack([counts(row["chosen"]), counts(row["rejected"])]) for row in rows]).log1p()
    held = len(both) // 3
    return Task(path.stem, both[held + 340 :][:n], both[held : held + 340], both[:held])


@dataclass
class Trained:
    """Metrics of each epoch, and the test accuracies of its weights on both halves of the test pairs."""

    start: float
    """Loss of the untrained model."""
    rows: list[tuple[float, float, float]]
    tests: list[tuple[float, float]]
    margins: list[Sequence[float]]
    """Of each validation pair, after each epoch."""

    @cached_property
    def fitted(self) -> list[float]:
        """val_loss at a cross-fitted temperature, of each epoch."""
        named = [{str(pair): value for pair, value in enumerate(held)} for held in self.margins]
        return [mean(calibrate.cross_fitted(held, {}).values()) for held in named]

    def seen(self, epoch: int, pairs: int) -> evidence.EpochEvidence:
        """What the policy orders epochs by; they count from 0."""
        return evidence.EpochEvidence(self.fitted[epoch], self.rows[epoch][0], self.rows[epoch][2], pairs)


class Trainer:
    """Trains one task; equal settings are trained once, and with a folder `kept` only the first time."""

    def __init__(self, task: Task, kept: Path | None = None) -> None:
        self.task = task
        self.file = kept / f"{task.name}.pickle" if kept else None
        self.found: dict[tuple[float, ...], Trained] = {}
        if self.file and self.file.is_file():
            self.found = {asked: Trained(*held) for asked, held in pickle.loads(self.file.read_bytes()).items()}
        encode = torch.Generator().manual_seed(7)
        self.encoder = torch.randn(WORDS, WIDTH, generator=encode) / 8

    def train(self, rate: float, epochs: int, dropout: float, seed: int, warm: int = 0, decay: int = 0) -> Trained:
        asked = rate, epochs, dropout, seed, warm, decay
        if asked not in self.found:
            self.found[asked] = self._train(*asked)
        return self.found[asked]

    def keep(self) -> None:
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(
                pickle.dumps(
                    {
                        asked: (h.start, h.rows, h.tests, [array("f", held) for held in h.margins])
                        for asked, h in self.found.items()
                    }
                )
            )

    def _train(self, rate: float, epochs: int, dropout: float, seed: int, warm: int, decay: int) -> Trained:
        """`warm`, `decay`: steps of a warmup-stable-decay schedule; 0: a tenth of warm-up, then linear."""
        make = torch.Generator().manual_seed(seed)
        down = (torch.randn(WORDS, RANK, generator=make) / math.sqrt(WORDS)).requires_grad_()
        up = torch.zeros(RANK, WIDTH, requires_grad=True)
        head = (torch.randn(WIDTH, generator=make) / math.sqrt(WIDTH)).requires_grad_()
        weights = [down, up, head]
        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
        data, n, step = self.task.train, len(self.task.train), 0
        total = epochs * math.ceil(n / 8)
        warm = warm or max(1, int(0.1 * total))
        stable = total - decay if decay else warm

        def margins(pairs: Tensor, drop: float = 0.0) -> Tensor:
            kept = pairs if not drop else pairs * (torch.rand(pairs.shape, generator=make) >= drop) / (1 - drop)
            rewards = torch.tanh(pairs @ self.encoder + 2 * (kept @ down) @ up) @ head
            return rewards[:, 0] - rewards[:, 1]

        with torch.no_grad():
            found = Trained(-torch.nn.functional.logsigmoid(margins(data)).mean().item(), [], [], [])
        for _ in range(epochs):
            losses = []
            for batch in torch.randperm(n, generator=make).split(8):
                for group in optimizer.param_groups:
                    group["lr"] = rate * min(step / warm, 1.0, (total - step) / max(1, total - stable))
                loss = -torch.nn.functional.logsigmoid(margins(data[batch], dropout)).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                losses.append(loss.item())
                step += 1
            with torch.no_grad():
                val, test = margins(self.task.val), margins(self.task.test) > 0
                found.margins.append(val.tolist())
                loss = -torch.nn.functional.logsigmoid(val).mean().item()
                found.rows.append((mean(losses), loss, (val > 0).float().mean().item()))
                half = len(test) // 2
                found.tests.append((test[:half].float().mean().item(), test[half:].float().mean().item()))
        return found


@dataclass
class Search:
    """Runs of one bot on one task, its spent epochs, and the model it would hand over."""

    trainer: Trainer
    seed: int
    spent: float = 0
    seen: list[tuple[evidence.EpochEvidence, float, int]] = field(default_factory=list)
    """Of each epoch that may be handed over: what it showed, its test accuracy, and the number of its training."""
    best: float = 0.5
    """Test accuracy of the one that the policy would choose."""
    trainings: int = 0
    best_of: int = 0
    """Number of the training that the chosen epoch is of, from 1."""
    ended: bool = False
    """It was told to stop before the budget was spent."""
    raised: int = 0
    """Advices that raised the rate of a training that broke."""
    at: dict[int, float] = field(default_factory=dict)
    """Budget → test accuracy of the chosen model when it was spent."""
    subjects: list[Subject] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What a blind search draws by: another task is another draw."""
        return f"{self.trainer.task.name}, seed {self.seed}"

    def run(self, rate: float, epochs: int, dropout: float = 0.1) -> Trained:
        rate = float(f"{rate:.2e}")
        found = self.trainer.train(rate, epochs, dropout, self.seed + len(self.subjects))
        self.count(found, epochs)
        self.subjects.append(self.subject(found, f"run-{len(self.subjects) + 1}", rate, epochs, dropout))
        return found

    def subject(self, found: Trained, name: str, rate: float, epochs: int, dropout: float) -> Subject:
        """The training as the guide sees a run."""
        rows = tuple(
            Epoch(number, *row, val_pairs=len(self.trainer.task.val)) for number, row in enumerate(found.rows, 1)
        )
        config = {
            "learning_rate": rate,
            "num_epochs": epochs,
            "lora": {"r": RANK, "alpha": 2 * RANK, "dropout": dropout},
            "method": "lora",
            "lr_scheduler": "linear",
            "warmup_ratio": 0.1,
        }
        run = Run(name, name, Path(name), State.FINISHED, epochs=rows, config=config, data="task", num_epochs=epochs)
        return Subject(run, start_loss=found.start, fitted=tuple(enumerate(found.fitted, 1)))

    def count(self, found: Trained, cost: float, handed: Collection[int] | None = None) -> None:
        """Take in a training of which `cost` epochs were computed now. `handed`: the epochs, from 1, that may be handed
        over; None: all."""
        self.trainings += 1
        before = len(found.rows) - cost
        pairs = len(self.trainer.task.val)
        for done, (_, test) in enumerate(found.tests, 1):
            for budget in BUDGETS:
                if self.spent + done - before > budget + 1e-9:
                    self.at.setdefault(budget, self.best)
            if done > before and (handed is None or done in handed):
                self.seen.append((found.seen(done - 1, pairs), test, self.trainings))
                _, self.best, self.best_of = evidence.choose(self.seen, itemgetter(0))
        self.spent += cost

    def result(self, budget: int) -> float:
        return self.at.get(budget, self.best)


@dataclass
class Wasted:
    """Trainings after the one whose model is handed over, of searches that were told to stop, and of the others."""

    told: list[int] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)
    raised: int = 0

    def count(self, search: Search) -> None:
        (self.told if search.ended else self.spent).append(search.trainings - search.best_of)
        self.raised += search.raised

    def __str__(self) -> str:
        lines = ["\ntrainings after the best one, by advice (mean; share with at most one)"]
        for name, held in (("told to stop", self.told), ("budget spent", self.spent)):
            if held:
                share = sum(number <= 1 for number in held) / len(held)
                lines.append(f"{name}: {len(held)} searches, {mean(held):.1f}, {share:.0%}")
        return "\n".join([*lines, f"advices that raised the rate of a training that broke: {self.raised}"])


def follow(search: Search, step: Advice) -> None:
    """One more run: the newest one's settings with the step's changes."""
    config = search.subjects[-1].run.config
    rate = step.changes.get("learning_rate", config["learning_rate"])
    dropout = step.changes.get("lora.dropout", config["lora"]["dropout"])
    search.run(rate, step.changes.get("num_epochs", config["num_epochs"]), dropout)


def obey(search: Search, rate: float, epochs: int) -> None:
    """The bot: it starts somewhere and does what the first advice says until that says to stop."""
    search.run(rate, epochs)
    while search.spent < max(BUDGETS):
        step = policy.next_step(search.subjects[-1], search.subjects)
        if step is None or not step.changes:
            search.ended = True
            return
        last = search.subjects[-1]
        higher = step.changes.get("learning_rate", 0.0) > last.run.config["learning_rate"]
        search.raised += higher and divergence.broken(last, thresholds.DEFAULT)
        follow(search, step)


def guide(search: Search, rate: float, epochs: int) -> None:
    """The same bot with the guide's own advice alone."""
    search.run(rate, epochs)
    while search.spent < max(BUDGETS):
        last = search.subjects[-1]
        before = search.subjects[-2] if len(search.subjects) > 1 else None
        steps = advice.advise(path.locate(last, search.subjects, before), readings.read(last, before))
        if not steps or not steps[0].changes:
            return
        follow(search, steps[0])


def ladder(search: Search, rate: float, epochs: int) -> None:
    """Rate × 3 each time, one epoch."""
    search.run(rate, epochs)
    while search.spent < max(BUDGETS) and rate < 1:
        rate *= 3
        search.run(rate, 1)


def blind(search: Search, rate: float, epochs: int) -> None:
    """Random search: log-uniform rates, 1, 2 or 4 epochs."""
    draw = random.Random(search.name)
    search.run(rate, epochs)
    while search.spent < max(BUDGETS):
        search.run(10 ** draw.uniform(-5, -0.5), draw.choice((1, 2, 4)))


def halving(search: Search, rate: float, epochs: int) -> None:
    """Successive halving: eight random rates for one epoch, the better half for two, and so on."""
    draw = random.Random(search.name)
    search.run(rate, epochs)
    rates, length = [10 ** draw.uniform(-5, -0.5) for _ in range(4)], 1
    while rates and search.spent < max(BUDGETS):
        losses = {each: min(row[1] for row in search.run(each, length).rows) for each in rates}
        rates = sorted(rates, key=lambda each: losses[each])[: len(rates) // 2]
        length *= 2


BOTS: dict[str, Callable[[Search, float, int], None]] = {
    "advice": obey,
    "guide": guide,
    "ladder": ladder,
    "random": blind,
    "halving": halving,
}


def oracle(trainer: Trainer, seeds: int) -> tuple[float, float, int]:
    """(its test accuracy on the second half, its rate, its epochs): the best mean over seeds on the first half, of the
    epoch with the lowest val_loss, of the policy's choice, or of the last."""
    best = (0.0, 0.0, 0.0, 0)
    for rate in RATES:
        for epochs in LENGTHS:
            runs = [trainer.train(float(f"{rate:.2e}"), epochs, 0.1, 100 + seed) for seed in range(seeds)]
            pairs = len(trainer.task.val)
            rules = (
                lambda run, at: run.rows[at][1],
                lambda run, at: run.seen(at, pairs).rank,  # noqa: B023 - used at once
                lambda run, at: -at,
            )
            chosen = [[run.tests[min(range(epochs), key=partial(rule, run))] for run in runs] for rule in rules]
            picked = max(chosen, key=lambda found: mean(first for first, _ in found))
            here = (mean(first for first, _ in picked), mean(second for _, second in picked), rate, epochs)
            best = max(best, here)
    return best[1], best[2], best[3]


def starts(rate: float) -> Iterator[tuple[str, float, int]]:
    yield "far too low", rate / 1e4, 1
    yield "the guide's", rate / 100, 2
    yield "right", rate, 1
    yield "too high", rate * 100, 1
    yield "over-fitting", rate * 3, 5


def tasks(files: list[Path]) -> Iterator[Task]:
    number = 0
    for n in (120, 300, 600):
        for noise in (0.0, 0.2, 0.3):
            number += 1
            yield made(f"{n} pairs, {noise:.0%} noise", n, noise, number)
    yield made("300 pairs, length bias", 300, 0.1, 20, length=1.0)
    yield made("600 pairs, 12 prompts", 600, 0.1, 21, prompts=12)
    yield made("1500 pairs, 20% noise", 1500, 0.2, 22)
    for file in files:
        yield read(file, 1000, 1)


def unseen() -> Iterator[Task]:
    """Tasks of other sizes, noise and seeds, kept for the last look."""
    yield made("200 pairs, 10% noise", 200, 0.1, 101)
    yield made("400 pairs, 25% noise", 400, 0.25, 102)
    yield made("900 pairs, 10% noise", 900, 0.1, 103)
    yield made("240 pairs, length bias", 240, 0.2, 104, length=0.7)
    yield made("450 pairs, 20 prompts", 450, 0.0, 105, prompts=20)
    yield made("1000 pairs, 30% noise", 1000, 0.3, 106)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=99, help="the first so many")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[])
    parser.add_argument("--bots", nargs="*", choices=BOTS, default=list(BOTS))
    parser.add_argument("--held-out", action="store_true", help="six tasks that no policy was written on")
    parser.add_argument("--keep", type=Path, help="keep trainings in this folder, and take them from there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    found = Regrets(BUDGETS)
    wasted = Wasted()
    for task in list(unseen() if args.held_out else tasks(args.pairs))[: args.tasks]:
        trainer = Trainer(task, args.keep)
        top, rate, epochs = oracle(trainer, args.seeds)
        print(f"{task.name}: oracle {top:.1%} at {rate:.1e}, {epochs} epochs ({time.monotonic() - began:.0f} s)")
        for name in args.bots:
            for start, first, length in starts(rate):
                for seed in range(args.seeds):
                    search = Search(trainer, 1000 * seed)
                    BOTS[name](search, first, length)
                    regrets = [100 * (top - search.result(budget)) for budget in BUDGETS]
                    found.add(name, start, task.name, seed, regrets, search.spent)
                    if name == "advice":
                        wasted.count(search)
            cells = [found.cell(name, start, task.name) for start, *_ in starts(rate)]
            print(f"{name:10}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
        trainer.keep()
    print(found.table(args.bots, [start for start, *_ in starts(1.0)]))
    if "advice" in args.bots:
        print(found.paired("advice", [name for name in args.bots if name != "advice"]))
        print(wasted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
