"""Points of test accuracy behind the oracle, of several bots from several starts: tables, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from trainer.intervals import t_quantile


@dataclass
class Regrets:
    """Each search once: its bot, start, task and seed, and the regret after each budget."""

    budgets: Sequence[int]
    found: dict[tuple[str, str, str, int], tuple[float, ...]] = field(default_factory=dict)
    spent: dict[str, list[float]] = field(default_factory=dict)

    def add(self, bot: str, start: str, task: str, seed: int, regrets: Sequence[float], spent: float) -> None:
        self.found[bot, start, task, seed] = tuple(regrets)
        self.spent.setdefault(bot, []).append(spent)

    def cell(self, bot: str, start: str = "", task: str = "") -> str:
        """`1.2 / 1.4`: means after each budget, over all starts and tasks where none is named."""
        held = [
            regrets
            for (name, begun, at, _), regrets in self.found.items()
            if name == bot and start in ("", begun) and task in ("", at)
        ]
        return " / ".join(f"{mean(row[place] for row in held):.1f}" for place in range(len(self.budgets)))

    def table(self, bots: Sequence[str], starts: Sequence[str]) -> str:
        lines = [
            f"\nmean regret in points after {tuple(self.budgets)} epochs' worth of training",
            f"{'':10}" + "".join(f"{name:>16}" for name in [*starts, "all", "epochs spent"]),
        ]
        for name in bots:
            cells = [*(self.cell(name, start) for start in starts), self.cell(name), f"{mean(self.spent[name]):.1f}"]
            lines.append(f"{name:10}" + "".join(f"{cell:>16}" for cell in cells))
        return "\n".join(lines)

    def paired(self, bot: str, others: Sequence[str]) -> str:
        """How far `bot` is ahead of each other one: paired by task and seed (means over starts), with the one-sided
        95 % bound of Student's t."""
        lines = [f"\npoints that {bot} is ahead, paired by task and seed (lower bound, one-sided 95 %)"]
        for other in others:
            cells = []
            for place in range(len(self.budgets)):
                ahead = [
                    mean(theirs) - mean(mine) for mine, theirs in zip(*self._units((bot, other), place), strict=True)
                ]
                bound = math.nan
                if len(ahead) > 1:
                    bound = mean(ahead) - t_quantile(0.95, len(ahead) - 1) * stdev(ahead) / math.sqrt(len(ahead))
                cells.append(f"{mean(ahead):+.1f} ({bound:+.1f})")
            lines.append(f"{other:10}" + "".join(f"{cell:>16}" for cell in cells))
        return "\n".join(lines)

    def _units(self, bots: Sequence[str], place: int) -> list[list[list[float]]]:
        """Of each bot: by task and seed, the regrets from all starts."""
        units = sorted({(task, seed) for _, _, task, seed in self.found})
        return [
            [
                [row[place] for (name, _, *unit), row in self.found.items() if name == bot and tuple(unit) == at]
                for at in units
            ]
            for bot in bots
        ]
