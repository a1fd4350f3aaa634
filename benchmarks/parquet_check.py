"""How fast `rmtui check` reads Parquet of each layout, beside the same pairs as plain JSON lines in the same run.

    python benchmarks/parquet_check.py [ROWS] [--layout NAME]

Makes a file of distinct pairs a layout (about 450 bytes of text a row) and checks each in a process of its own. Where
others use the machine, the processor time a row says more than rows a second: that of the check, and of the process
beside it that decodes Parquet. `alone` is what the slower of the two gives on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from check_speed import WORDS

Row = dict[str, Any]
PLAIN = "plain JSON lines"
BATCH = 20_000


def texts(rows: int) -> Iterator[tuple[int, str, str, str]]:
    """(number, prompt, better, worse), distinct."""
    chance = random.Random(1)
    for number in range(rows):
        prompt, better, worse = (" ".join(chance.choices(WORDS, k=count)) for count in (18, chance.randint(15, 35), 25))
        yield number, f"{prompt} {number}?", f"{better.capitalize()}.", f"{worse.capitalize()}."


def plain(number: int, prompt: str, better: str, worse: str) -> Row:
    return {"id": str(number), "prompt": prompt, "chosen": better, "rejected": worse}


def shp(number: int, prompt: str, better: str, worse: str) -> Row:
    first = number % 2
    answers = (better, worse) if first else (worse, better)
    facts = {"post_id": f"t{number}", "domain": "askacademia_train", "upvote_ratio": 0.98, "seconds_difference": 812.0}
    facts |= {"c_root_id_A": f"a{number}", "c_root_id_B": f"b{number}", "created_at_utc_A": number, "score_ratio": 2.0}
    scores = {"score_A": 9 if first else 3, "score_B": 3 if first else 9}
    return {**facts, "history": prompt, "human_ref_A": answers[0], "human_ref_B": answers[1], "labels": first, **scores}


def turns(prompt: str, answer: str) -> list[Row]:
    return [{"content": prompt, "role": "user"}, {"content": answer, "role": "assistant"}]


def messages(number: int, prompt: str, better: str, worse: str) -> Row:
    scores = {"score_chosen": 8.5, "score_rejected": 4.0}
    sides = {"chosen": turns(prompt, better), "rejected": turns(prompt, worse)}
    return {"prompt": prompt, "prompt_id": f"{number:032x}", **sides, **scores}


def helpsteer3(number: int, prompt: str, better: str, worse: str) -> Row:
    context = [{"role": "user", "content": prompt}]
    facts = {"domain": "general", "language": "english", "context": context}
    return {**facts, "response1": worse, "response2": better, "overall_preference": 1 + number % 3}


def safe_rlhf(number: int, prompt: str, better: str, worse: str) -> Row:
    answers = {"response_0": better, "response_1": worse} if number % 2 else {"response_0": worse, "response_1": better}
    return {"prompt": prompt, **answers, "better_response_id": 1 - number % 2, "safer_response_id": 0}


LAYOUTS: dict[str, Callable[[int, str, str, str], Row]] = {
    "plain pairs": plain,
    "SHP": shp,
    "message lists": messages,
    "HelpSteer3": helpsteer3,
    "PKU-SafeRLHF": safe_rlhf,
}


def make(path: Path, rows: int, row_of: Callable[[int, str, str, str], Row]) -> None:
    """Write the rows as Parquet, or as JSON lines by the file's suffix."""
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row_of(*one))}\n" for one in texts(rows))
        return
    import pyarrow
    from pyarrow import parquet

    made = (row_of(*one) for one in texts(rows))
    writer = None
    while batch := [row for _, row in zip(range(BATCH), made, strict=False)]:
        table = pyarrow.Table.from_pylist(batch)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def measure(file: str) -> None:
    """The check itself; prints what it took as JSON."""
    from rmtui.operations.check import check

    started = time.perf_counter()
    (report,) = check([Path(file)], look_for_near=False).files
    took = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = [one.ru_utime + one.ru_stime for one in used]
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    peaks = [int(own.split()[1]) / 1024, used[1].ru_maxrss / 1024]  # our maxrss began with that of who started us
    print(json.dumps({"good": report.good, "errors": report.errors, "took": took, "cpu": seconds, "peaks": peaks}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--layout", choices=LAYOUTS, help="this one only")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return 0
    wanted = {name: row_of for name, row_of in LAYOUTS.items() if args.layout in (None, name)}
    whole = True
    with tempfile.TemporaryDirectory() as folder:
        base = 0.0
        for name, row_of in {PLAIN: plain, **wanted}.items():
            path = Path(folder) / ("pairs.jsonl" if name == PLAIN else "pairs.parquet")
            make(path, args.rows, row_of)
            command = [sys.executable, __file__, "--measure", str(path)]
            facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            path.unlink()
            speed, alone = args.rows / facts["took"], args.rows / max(facts["cpu"])
            base = base or alone
            spent = " + ".join(f"{1e6 * one / args.rows:.1f}" for one in facts["cpu"])
            peak = " + ".join(f"{one:.0f}" for one in facts["peaks"])
            print(
                f"{name:<17} {speed:>8,.0f} rows/s   processor {spent:>11} µs a row   alone {alone:>8,.0f} rows/s, "
                f"{alone / base:.2f} of plain   {peak} MB",
                flush=True,
            )
            whole = whole and (facts["good"], facts["errors"]) == (args.rows, 0)
    print("every pair found, none blamed" if whole else "NOT AS MADE")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
