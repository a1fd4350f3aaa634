"""Nothing is of the validation unless words say so; whatever bytes a source has, the answer is a run or an error in
words."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from producer_logs import LOGS, ProducerLog
from support import make_workspace

from rmtui.cli import main
from rmtui.importers.metric_names import MetricName, Split, metric
from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SPLIT_WORDS = re.compile(r"evaluat\w*|validat\w*|valid|eval|val|dev|test", re.IGNORECASE)
VALIDATION = ("val_loss", "val_acc", "reward_margin", "val_pairs")
NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "train_", "train/", "my_", "batch ", "rewards/", "mean_", "running_", "epoch_", "训练"]),
    st.sampled_from(
        ["loss", "accuracy", "acc", "accuracies", "margin", "margins", "rewards/accuracies", "准确率", "Acc"]
    ),
    st.sampled_from(["", "_mean", "_epoch", "/all", "@1"]),
)
ROWS = st.lists(st.dictionaries(NAMES, st.floats(0, 1).map(lambda value: round(value, 4)), min_size=1), min_size=1)


def as_json_lines(rows: list[dict[str, float]]) -> tuple[str, str]:
    return "x.jsonl", "\n".join(json.dumps({"step": step, **row}) for step, row in enumerate(rows, 1))


def as_dictionaries(rows: list[dict[str, float]]) -> tuple[str, str]:
    return "x.log", "\n".join(str({**row, "learning_rate": 1e-5, "epoch": at / 2}) for at, row in enumerate(rows, 1))


def as_epoch_lines(rows: list[dict[str, float]]) -> tuple[str, str]:
    texts = (", ".join(f"{name}={value}" for name, value in row.items()) for row in rows)
    return "x.log", "\n".join(f"Epoch {at}: {text}" for at, text in enumerate(texts, 1))


def as_bars(rows: list[dict[str, float]]) -> tuple[str, str]:
    texts = (", ".join(f"{name.replace(' ', '_')}={value}" for name, value in row.items()) for row in rows)
    return "x.log", "\n".join(
        f"Epoch 1:  50%|## | {at}/99 [0:1<0:1, 3it/s, {text}]" for at, text in enumerate(texts, 1)
    )


def as_table(rows: list[dict[str, float]]) -> tuple[str, str]:
    names = list({name: None for row in rows for name in row})
    lines = [f"{at}," + ",".join(str(row.get(name, "")) for name in names) for at, row in enumerate(rows, 1)]
    return "x.csv", "\n".join(["epoch," + ",".join(names), *lines])


def as_state(rows: list[dict[str, float]]) -> tuple[str, str]:
    history = [{"step": at, "epoch": at / 2, **row} for at, row in enumerate(rows, 1)]
    return "trainer_state.json", json.dumps({"global_step": len(rows), "log_history": history})


def as_results(rows: list[dict[str, float]]) -> tuple[str, str]:
    return "all_results.json", json.dumps({"epoch": 1.0, **rows[0]})


FORMS = (as_json_lines, as_dictionaries, as_epoch_lines, as_bars, as_table, as_state, as_results)


def validated(run: Foreign) -> set[str]:
    """Metrics of the validation that a run has, in whatever place."""
    of_epochs = {name for epoch in run.epochs for name in VALIDATION if getattr(epoch, name) is not None}
    return of_epochs | (set(VALIDATION) & run.series.keys())


@SETTINGS
@given(rows=ROWS, form=st.sampled_from(FORMS))
def test_no_reader_makes_a_validation_of_metrics_without_its_words(tmp_path: Path, rows, form) -> None:  # type: ignore[no-untyped-def]
    name, text = form(rows)
    (tmp_path / name).write_text(text)
    for run in gather([tmp_path / name]).runs:
        assert not validated(run), (text, run.sources)
    (tmp_path / name).unlink()


@pytest.mark.parametrize("word", ["probe", "train", "batch", "x"])
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)
def test_a_log_whose_validation_is_called_something_else_validated_nothing(
    log: ProducerLog, word: str, tmp_path: Path
) -> None:
    path = tmp_path / log.name
    path.write_text(SPLIT_WORDS.sub(word, log.text))
    for run in gather([path]).runs:
        assert not validated(run)


@pytest.mark.parametrize(
    ("written", "split", "known"),
    [
        ("eval_rewards/accuracies", None, "val_acc"),
        ("valid_accuracy", None, "val_acc"),
        ("devLoss", None, "val_loss"),
        ("验证集准确率", None, "val_acc"),
        ("検証損失", None, "val_loss"),
        ("валид_loss", None, "val_loss"),
        ("validation_loss_epoch", None, "val_loss"),
        ("Mean Eval Loss", None, "val_loss"),
        ("test_acc", None, "test_acc"),
        ("accuracy", Split.VALIDATION, "val_acc"),
        ("accuracy", None, "train_acc"),
        ("rewards/accuracies", None, "train_acc"),
        ("train/rewards/margins", None, "train_margin"),
        ("eval_token_acc", None, "eval_token_acc"),
        ("eval_rewards/accuracy_reward/mean", None, "eval_rewards/accuracy_reward/mean"),
        ("eval/AccReward", None, "eval/AccReward"),
        ("eval_rewards/accuracies/mean", None, "val_acc"),
        ("mean_reward_accuracy", Split.VALIDATION, "val_acc"),
        ("interval_accuracy", None, "interval_accuracy"),
        ("devices", None, "devices"),
        ("latest_loss", None, "latest_loss"),
        ("retrieval_loss", None, "retrieval_loss"),
    ],
)
def test_a_name_says_what_it_is_of(written: str, split: Split | None, known: str) -> None:
    assert metric(MetricName(written, split)) == known


@SETTINGS
@given(log=st.sampled_from(LOGS), data=st.data())
def test_whatever_bytes_a_log_has_it_is_a_run_or_an_error_in_words(
    tmp_path: Path, log: ProducerLog, data: st.DataObject
) -> None:
    whole = log.text.encode()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    path = tmp_path / log.name
    path.write_bytes(whole[:begin] + data.draw(st.binary(max_size=40)) + whole[end:])
    harvest = gather([path])
    assert harvest.runs or all("\n" not in words for words in harvest.unread)


def trackio_project(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL,"
            " run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"
        )
        connection.executemany(
            "INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)",
            [
                ("2026-01-05T10:00:00", "a", step, json.dumps({"train/loss": 0.6, "eval/loss": 0.7}))
                for step in range(5)
            ],
        )
    connection.close()


@SETTINGS
@given(at=st.integers(0, 8191), junk=st.binary(min_size=1, max_size=64), cut=st.booleans())
def test_a_damaged_trackio_file_is_refused_in_words(tmp_path: Path, at: int, junk: bytes, cut: bool) -> None:
    path = tmp_path / "project.db"
    path.unlink(missing_ok=True)
    trackio_project(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + (b"" if cut else junk + whole[at + len(junk) :]))
    harvest = gather([path])
    assert harvest.runs or harvest.unread or path.stat().st_size == 0


@SETTINGS
@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from(["1700000000000", "nan", "0.5", "-1", "\n", " "])).map("".join)
)
def test_whatever_a_store_of_mlflow_holds_it_is_a_run_or_an_error_in_words(tmp_path: Path, text: str) -> None:
    run = tmp_path / "mlruns" / "1" / "abc"
    (run / "metrics").mkdir(parents=True, exist_ok=True)
    (run / "meta.yaml").write_text(text, encoding="utf-8", errors="replace")
    (run / "metrics" / "eval_loss").write_text(text, encoding="utf-8", errors="replace")
    harvest = gather([tmp_path / "mlruns"])
    assert harvest.runs or harvest.unread


def test_pickles_beside_a_log_are_listed_and_never_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "training_args.bin").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    (folder / "scheduler.pt").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    (folder / "trl.log").write_text(next(log for log in LOGS if log.name == "trl.log").text)
    ws = make_workspace(tmp_path / "ws")
    assert main(["-C", str(ws.root), "import", str(folder)]) == 0
    printed = capsys.readouterr()
    assert "never opened" in printed.err and not Path("opened").exists()
