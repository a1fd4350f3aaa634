"""The filter language and the windows of the list."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support import START, config, make_run_folder, make_runs, make_workspace, training

from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.workspace import Workspace
from trainer.intervals import wilson


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Five runs that differ in everything a filter asks for."""
    ws = make_workspace(tmp_path_factory.mktemp("query") / "ws")
    now = time.time()
    make_run_folder(
        ws, "helpful-A-1", created=now - 3600, tags=["night", "lr-sweep"], config=config(learning_rate=1e-5)
    )
    make_run_folder(
        ws, "helpful-B-1", preset="B", created=now - 86_400 * 3, tags=["night"], config=config(lora={"r": 16}),
        events=training(accuracy=(0.65, 0.66, 0.67)),
    )  # fmt: skip
    make_run_folder(
        ws, "harmless-C-1", preset="C", data="harmless", created=now - 86_400 * 9, outcome="failed",
        reason="out of memory, rank 1", events=training()[:10],
    )  # fmt: skip
    make_run_folder(ws, "有用-A-2", created=now - 86_400 * 30, meta={"note": "calmer warm-up 100%", "pinned": True})
    make_run_folder(ws, "old one", created=START, meta={"archived": True})
    with Index.open(ws) as opened:
        opened.sync()
        yield opened


def names(index: Index, query: str) -> set[str]:
    found = {run.name for run in index.runs(query)}
    assert index.count(query) == len(found)
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"helpful-A-1", "helpful-B-1", "harmless-C-1", "有用-A-2"}),
        ("helpful", {"helpful-A-1", "helpful-B-1", "有用-A-2"}),  # the data set's name counts as a word
        ("HELPFUL b-1", {"helpful-B-1"}),
        ("有用", {"有用-A-2"}),
        ("100%", {"有用-A-2"}),
        ("0%", {"有用-A-2"}),
        ("_", set()),
        ('"warm-up 100%"', {"有用-A-2"}),
        ("-helpful", {"harmless-C-1"}),
        ("state:failed", {"harmless-C-1"}),
        ("state:fai", {"harmless-C-1"}),  # while it is still typed
        ("-state:f", set()),  # failed or finished
        ("state!=failed data:harmless", set()),
        ("preset:a", {"helpful-A-1", "有用-A-2"}),
        ("preset:b | preset:C", {"helpful-B-1", "harmless-C-1"}),
        ("tag:night", {"helpful-A-1", "helpful-B-1"}),
        ("tag:night -tag:lr-sweep", {"helpful-B-1"}),
        ("-tag:night", {"harmless-C-1", "有用-A-2"}),
        ("lr>=1.5e-5", {"helpful-B-1", "harmless-C-1", "有用-A-2"}),
        ("lr=1e-5", {"helpful-A-1"}),
        ("lr<0.00001", set()),
        ("learning_rate:1e-5", {"helpful-A-1"}),
        ("lora.r=16", {"helpful-B-1"}),
        ("r=32 lr=1e-5", {"helpful-A-1"}),
        ("lr_scheduler=linear state:finished", {"helpful-A-1", "helpful-B-1", "有用-A-2"}),
        ("val_acc>0.7", {"helpful-A-1", "有用-A-2"}),
        ("val_acc>70%", {"helpful-A-1", "有用-A-2"}),
        ("val_acc<=67", {"helpful-B-1"}),
        ("-val_acc>0.7", {"helpful-B-1", "harmless-C-1"}),  # an unknown accuracy is not above 0.7
        ("since:2d", {"helpful-A-1"}),
        ("age>2d age<10d", {"helpful-B-1", "harmless-C-1"}),
        ("before:2w", {"有用-A-2"}),
        ("is:pinned", {"有用-A-2"}),
        ("is:archived", {"old one"}),
        ("memory", {"harmless-C-1"}),
        ("epoch<1", {"harmless-C-1"}),
        ("no_such_key=3", set()),
        ("'; DROP TABLE runs; --", set()),
        ("since:2d | is:pinned", {"helpful-A-1", "有用-A-2"}),
        (" | ", {"helpful-A-1", "helpful-B-1", "harmless-C-1", "有用-A-2"}),
    ],
)
def test_a_filter_finds_what_it_says(index: Index, query: str, expected: set[str]) -> None:
    assert names(index, query) == expected


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("val_acc>high", "high is not a number"),
        ("state:", "nothing follows :"),
        ("state:done", "a run is queued, starting"),
        ("lr>fast", "fast is not a number"),
        ("state>failed", "text is compared with"),
        ("since:yesterday", "a time is written"),
        ('name:"half', "quotation mark"),
        ("is:good", "is: takes"),
    ],
)
def test_a_filter_that_cannot_be_read_says_why(index: Index, query: str, said: str) -> None:
    with pytest.raises(UserError, match="cannot be read") as caught:
        index.runs(query)
    assert said in str(caught.value)


def test_pinned_runs_come_first_whatever_the_order(index: Index) -> None:
    for descending in (True, False):
        assert index.runs(sort="created", descending=descending)[0].name == "有用-A-2"


def test_unknown_figures_come_last_in_both_directions(index: Index) -> None:
    for descending in (True, False):
        unpinned = [run.val_acc for run in index.runs(sort="val_acc", descending=descending) if not run.pinned]
        assert unpinned[-1] is None
        known = [value for value in unpinned if value is not None]
        assert known == sorted(known, reverse=descending)


def test_an_unknown_sort_key_is_refused(index: Index) -> None:
    with pytest.raises(UserError, match="cannot be sorted by beauty"):
        index.runs(sort="beauty")


def test_the_best_run_of_each_validation_set_is_known(ws: Workspace) -> None:
    other, alone = ({"train": "aa" * 32, "val": val * 32} for val in ("cc", "dd"))
    make_run_folder(ws, "low", events=training(accuracy=(0.6, 0.6, 0.65)))
    high = make_run_folder(ws, "high", created=START + 1, events=training(accuracy=(0.6, 0.6, 0.7)))
    make_run_folder(ws, "equal but later", created=START + 2, events=training(accuracy=(0.6, 0.6, 0.7)))
    archived = make_run_folder(ws, "archived", created=START + 3, meta={"archived": True, "group": "old"})
    first = make_run_folder(ws, "first", created=START + 4, fingerprints=other)
    make_run_folder(ws, "second", created=START + 5, fingerprints=other, events=training(accuracy=(0.5, 0.5, 0.5)))
    make_run_folder(ws, "nothing to be better than", created=START + 6, fingerprints=alone)
    with Index.open(ws) as index:
        index.sync()
        found = index.landmarks()
        assert archived.id not in found.best and found.best == {high.id, first.id}
        assert found.grouped
        assert [index.best_of(val * 32) for val in ("bb", "cc", "dd", "ee")] == [high.id, first.id, None, None]


def test_figures_that_are_computed_order_runs_too(index: Index) -> None:
    tagged = [run.name for run in index.runs(sort="tags") if not run.pinned]
    assert tagged[-1] == "harmless-C-1" and set(tagged[:2]) == {"helpful-A-1", "helpful-B-1"}
    shares = [run.step / run.total_steps for run in index.runs(sort="progress") if not run.pinned and run.total_steps]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 1
    spreads = [
        wilson(round(run.val_acc * run.val_pairs), run.val_pairs).half
        for run in index.runs(sort="spread", descending=False)
        if not run.pinned and run.val_acc is not None and run.val_pairs
    ]
    assert len(spreads) > 1 and spreads == sorted(spreads)


SORTS = (
    "created",
    "name",
    "val_acc",
    "best",
    "gap",
    "duration",
    "preset",
    "group",
    "delta",
    "progress",
    "spread",
    "tags",
)


@pytest.mark.parametrize("sort", SORTS)
def test_windows_and_positions_agree_with_the_whole_list(ws: Workspace, sort: str) -> None:
    folders = make_runs(ws, 23)
    folders[3].set_meta(pinned=True)
    folders[11].set_meta(pinned=True)
    folders[5].set_meta(archived=True)
    with Index.open(ws) as index:
        index.sync()
        for descending in (True, False):
            for query in ("", "-state:failed"):
                whole = [run.id for run in index.runs(query, sort, descending)]
                windows = [
                    run.id for at in range(0, 25, 4) for run in index.runs(query, sort, descending, limit=4, offset=at)
                ]
                assert windows == whole
                assert [index.position(run_id, query, sort, descending) for run_id in whole] == [*range(len(whole))]
        assert index.position(folders[5].id, "", sort) is None
        assert index.position("nobody", "", sort) is None
