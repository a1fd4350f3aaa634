"""What sources state of a training as a whole: its length, its end, its names, which lines and columns count."""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tracker_files as made

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather


def read(tmp_path: Path, text: str, name: str = "train.log") -> Foreign:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (run,) = gather([path]).runs
    return run


def points(run: Foreign, name: str) -> list[tuple[float, float]]:
    return [(step, round(value, 9)) for step, value, _ in run.series.get(name, ())]


STATE = {
    "global_step": 60,
    "max_steps": 120,
    "num_train_epochs": 4,
    "epoch": 2.0,
    "log_history": [
        {"step": 25, "epoch": 0.8333, "loss": 0.69},
        {"step": 50, "epoch": 1.6667, "loss": 0.66},
    ],
}


def test_a_state_says_how_far_the_training_is_and_how_long_it_will_be(tmp_path: Path) -> None:
    run = read(tmp_path, json.dumps(STATE), "out/trainer_state.json")
    assert (run.total_steps, run.config["num_epochs"], run.reached) == (120, 4, (60, 2.0))
    assert not run.last_word
    done = STATE | {"global_step": 120, "epoch": 4.0}
    assert read(tmp_path, json.dumps(done), "out/trainer_state.json").last_word == "step 120 of 120"


def test_a_state_whose_history_goes_back_keeps_all_of_it(tmp_path: Path) -> None:
    late = [*STATE["log_history"], {"step": 25, "epoch": 0.8333, "eval_loss": 0.68}]  # type: ignore[misc]
    run = read(tmp_path, json.dumps(STATE | {"log_history": late}), "out/trainer_state.json")
    assert points(run, "loss") == [(25, 0.69), (50, 0.66)]
    assert points(run, "val_loss") == [(25, 0.68)]


def test_an_adapter_beside_a_state_names_its_model_and_layers(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    adapter = {"r": 8, "base_model_name_or_path": "org/base", "target_modules": ["q_proj", "v_proj"]}
    (tmp_path / "out" / "adapter_config.json").write_text(json.dumps(adapter))
    run = read(tmp_path, json.dumps(STATE), "out/trainer_state.json")
    assert run.config["model"] == "org/base"
    assert run.config["lora"] == {"r": 8, "target_modules": ["q_proj", "v_proj"]}


TRAINER = (
    "***** Running training *****\n  Num examples = 6,400\n  Num Epochs = 3\n"
    "  Gradient Accumulation steps = 2\n  Total optimization steps = 1,200\n"
    "{'loss': 0.69, 'learning_rate': 1e-05, 'epoch': 1.0}\n"
)


def test_a_trainers_banner_says_how_long_the_training_will_be(tmp_path: Path) -> None:
    run = read(tmp_path, TRAINER)
    assert (run.total_steps, run.config["num_epochs"], run.last_word) == (1200, 3, "")


def test_unsloths_banner_says_it_in_words_of_its_own(tmp_path: Path) -> None:
    banner = "   \\\\   /|    Num examples = 800 | Num Epochs = 2 | Total steps = 200\n"
    run = read(
        tmp_path, banner + "{'loss': 0.69, 'learning_rate': 1e-05, 'tokens/train_per_sec_per_gpu': 9, 'epoch': 0.1}\n"
    )
    assert (run.total_steps, run.config["num_epochs"]) == (200, 2)
    assert set(run.series) == {"loss", "learning_rate"}


def test_an_output_folder_of_llama_factory_is_one_run_named_after_it(tmp_path: Path) -> None:
    row = {"current_steps": 10, "total_steps": 20, "loss": 0.69, "lr": 5e-06, "epoch": 0.5}
    (tmp_path / "rm-7").mkdir()
    (tmp_path / "rm-7" / "trainer_log.jsonl").write_text(json.dumps(row) + "\n")
    (run,) = gather([tmp_path]).runs
    assert (run.name, run.kind) == ("rm-7", "llama-factory")
    line = "[INFO|2026-01-05 10:00:30] llamafactory.train.callbacks:143 >> {'loss': 0.69, 'lr': 5e-06, 'epoch': "
    (tmp_path / "rm-7" / "running_log.txt").write_text(f"{line}0.50}}\n")
    assert [run.kind for run in gather([tmp_path]).runs] == ["llama-factory"]
    (tmp_path / "rm-7" / "running_log.txt").write_text(f"{line}0.50}}\n{line}0.60}}\n")  # it reaches further
    assert [(run.kind, run.name) for run in gather([tmp_path]).runs] == [("trainer-log", "rm-7")]


def test_a_trainers_last_line_ends_it_and_its_mean_is_no_epochs(tmp_path: Path) -> None:
    end = (
        "{'loss': 0.6, 'learning_rate': 0.0, 'epoch': 2.0}\n{'train_runtime': 9.1, 'train_loss': 0.645, 'epoch': 2.0}\n"
    )
    run = read(tmp_path, TRAINER + end)
    assert run.last_word and run.ended
    assert "train_loss" not in run.series
    assert [row.train_loss for row in run.epochs] == [0.69, 0.6]
    assert any("0.6450 is the mean over the whole training" in note for note in run.notes)


def test_a_table_at_the_end_repeats_nothing_and_adds_what_is_new(tmp_path: Path) -> None:
    text = TRAINER + "{'eval_loss': 0.66123456, 'eval_runtime': 1.0, 'epoch': 1.0}\n***** eval metrics *****\n"
    run = read(tmp_path, text + "  epoch       =    1.0\n  eval_loss   = 0.6612\n  perplexity  = 1.9371\n")
    assert [value for _, value in points(run, "val_loss")] == [0.66123456]
    assert [value for _, value in points(run, "val_perplexity")] == [1.9371]


def test_json_lines_say_totals_under_many_names(tmp_path: Path) -> None:
    rows = [{"step": 10, "loss": 0.6, "max_steps": 40, "num_epochs": 2, "train_samples_per_second": 9.0}]
    run = read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "steps.jsonl")
    assert (run.total_steps, run.config["num_epochs"], run.last_word) == (40, 2, "")
    assert set(run.series) == {"loss"} and "train_samples_per_second" in run.unused
    over = read(tmp_path, json.dumps({"step": 40, "loss": 0.6, "max_steps": 40}) + "\n", "steps.jsonl")
    assert over.last_word == "step 40 of 40"


def test_lightnings_bars_count_epochs_from_zero(tmp_path: Path) -> None:
    text = ""
    for epoch, loss in ((0, 0.65), (1, 0.61)):
        for done in (5, 10):
            entries = f"v_num=3, loss={0.7 - epoch / 10}"
            text += f"Epoch {epoch}: {10 * done}%|###  | {done}/10 [00:01<00:01, 5.0it/s, {entries}]\r"
        text += f"\nEpoch {epoch}: val_loss={loss}\n"
    run = read(tmp_path, text + "`Trainer.fit` stopped: `max_epochs=2` reached.\n")
    assert points(run, "loss") == [(5, 0.7), (10, 0.7), (15, 0.6), (20, 0.6)]
    assert set(run.series) == {"loss", "val_loss"}
    assert [(row.epoch, row.val_loss) for row in run.epochs] == [(1, 0.65), (2, 0.61)]
    assert run.places[20] == 2.0 and points(run, "val_loss") == [(10, 0.65), (20, 0.61)]
    assert run.last_word


def test_of_an_evaluations_bar_the_last_state_counts(tmp_path: Path) -> None:
    def bar(title: str, done: int, loss: float) -> str:
        return f"{title}:  5%|# | {done}/4 [00:01<00:03,  1.0it/s, loss={loss}]\r"

    text = 2 * bar("Epoch 1/1", 2, 0.69) + "".join(bar("Evaluating", done, 0.9 - done / 10) for done in (1, 2, 3, 4))
    run = read(tmp_path, text + bar("Epoch 1/1", 4, 0.66) + "\n")
    assert points(run, "val_loss") == [(2, 0.5)]
    assert points(run, "loss") == [(2, 0.69), (4, 0.66)]


def test_deepspeed_chats_dpo_says_epoch_1_before_the_first_one_too(tmp_path: Path) -> None:
    def evaluated(loss: float) -> str:
        return f"***** Evaluating rewards, Epoch 1/2 *****\nchosen: 0.0, rejected: 0.0, loss: {loss}\n"

    run = read(
        tmp_path,
        evaluated(0.69) + "Beginning of Epoch 1/2, Total Micro Batches 40\nEpoch 1/2 with loss 0.66\n" + evaluated(0.65)
        + "saving model ...\n",
    )  # fmt: skip
    assert [value for _, value in points(run, "val_loss")] == [0.69, 0.65]
    assert [(row.epoch, row.train_loss, row.val_loss) for row in run.epochs] == [(1, 0.66, 0.65)]
    assert run.config["num_epochs"] == 2 and not run.last_word  # a model saved after the first of two epochs


def test_brackets_from_zero_and_of_a_validation(tmp_path: Path) -> None:
    lines = [
        "Epoch [0/2], Step [50/100], Loss: 0.69",
        "Epoch [0/2], Step [100/100], Loss: 0.67",
        "[Val] Epoch [0/2], Step [100/100], Loss: 0.66",
        "Epoch [0/2], Step [101/100], Loss: 9.0",
        "Epoch [1/2], Step [100/100], Loss: 0.61",
    ]
    run = read(tmp_path, "\n".join(lines) + "\n")
    assert points(run, "loss") == [(50, 0.69), (100, 0.67), (200, 0.61)]
    assert points(run, "val_loss") == [(100, 0.66)]
    assert (run.total_steps, run.config["num_epochs"], run.last_word) == (200, 2, "step 200 of 200")


def test_nemo_aligner_says_its_steps_and_its_epoch_is_no_metric(tmp_path: Path) -> None:
    text = (
        "Training steps:  50%|# | 1/2 [00:01<00:03, 1.0it/s, train_loss=0.69, train_epoch=1, val_loss=0.68]\r"
        "Training steps: 100%|##| 2/2 [00:01<00:03, 1.0it/s, train_loss=0.66, train_epoch=1]\n"
    )
    run = read(tmp_path, text)
    assert set(run.series) == {"loss", "val_loss"}
    assert (run.total_steps, run.last_word) == (2, "step 2 of 2")


def test_of_nemo_rls_validation_sets_the_first_is_the_validation(tmp_path: Path) -> None:
    text = f"{'=' * 25} Step 1/4 {'=' * 25}\n"
    for name, loss in (("helpful", 0.66), ("harmless", 0.61)):
        text += f"📊 Validation Results for `{name}` set:\n    • Validation loss: {loss}\n\n"
    run = read(tmp_path, text)
    assert points(run, "val_loss") == [(1, 0.66)]
    assert [value for name in run.series if "harmless" in name for _, value in points(run, name)] == [0.61]


def test_openrlhf_resumed_in_a_later_epoch(tmp_path: Path) -> None:
    def bar(title: str, done: int, of: int, more: str = "") -> str:
        return f"{title}:  5%|# | {done}/{of} [00:01<00:03,  1.0it/s{more}]\r"

    text = bar("Train epoch", 0, 1) + bar("Train step of epoch 1", 0, 2, ", loss=0.66")
    text += bar("Eval stage of steps 2", 3, 3, ", eval_loss=0.65, acc_mean=0.6")
    text += bar("Eval stage of steps 2", 3, 3, ", eval_loss=0.64, acc_mean=0.62") + bar("Eval stage of steps 2", 3, 3)
    run = read(tmp_path, text + bar("Train step of epoch 1", 1, 2, ", loss=0.6") + bar("Train epoch", 1, 1) + "\n")
    assert points(run, "loss") == [(3, 0.66), (4, 0.6)]
    assert points(run, "val_loss") == [(3, 0.64)]
    assert (run.config["num_epochs"], run.last_word) == (2, "epoch 2 of 2")


def test_a_bar_that_was_cut_off_in_the_middle_goes_on_from_its_count(tmp_path: Path) -> None:
    bars = [f"Train step of epoch 0:  5%|# | {done}/9 [00:01<00:03, 1.0it/s, loss=0.{done}]" for done in (3, 4)]
    assert points(read(tmp_path, "\r".join(bars) + "\n"), "loss") == [(3, 0.3), (5, 0.4)]


def test_openrlhf_is_not_over_after_the_first_of_two_epochs(tmp_path: Path) -> None:
    bars = ("Train epoch", 0, ""), ("Train step of epoch 0", 1, ", loss=0.66"), ("Train epoch", 1, "")
    run = read(
        tmp_path, "".join(f"{title}:  5%|# | {done}/2 [00:01<00:03, 1.0it/s{more}]\r" for title, done, more in bars)
    )
    assert run.config["num_epochs"] == 2 and not run.last_word


def test_verl_writes_rates_in_thousandths_and_its_epoch(tmp_path: Path) -> None:
    lines = ["total number of steps: 2"]
    lines += [f"step:{at} - train/loss:0.6 - train/lr(1e-3):0.009 - training/epoch:{at / 2}" for at in (1, 2)]
    run = read(tmp_path, "\n".join(lines) + "\n")
    assert points(run, "learning_rate") == [(1, 9e-06), (2, 9e-06)]
    assert (run.places, run.total_steps, run.last_word) == ({1: 0.5, 2: 1.0}, 2, "step 2 of 2")


def test_tensorboard_scalars_of_torch_and_of_tensorflow(tmp_path: Path) -> None:
    def event(step: int, value: bytes) -> bytes:
        body = b"\x09" + struct.pack("<d", 1e9 + step) + made.field(2, step) + made.field(5, made.field(1, value))
        return struct.pack("<QI", len(body), 0) + body + b"\0" * 4

    name = made.field(1, b"eval/loss")
    content = made.field(8, made.field(1, 1) + made.field(4, struct.pack("<f", 0.5)))
    single = made.field(8, made.field(1, 1) + made.field(5, struct.pack("<f", 0.25)))
    double = made.field(8, made.field(1, 2) + made.field(6, struct.pack("<d", 0.125)))
    picture = struct.pack("<QI", 17 << 20, 0) + b"\0" * ((17 << 20) + 4)
    (tmp_path / "events.out.tfevents.1").write_bytes(
        event(1, name + content) + picture + event(2, name + single) + event(3, name + double)
    )
    (run,) = gather([tmp_path]).runs
    assert points(run, "val_loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_tensorboard_files_of_a_restart_end_with_the_latest_point(tmp_path: Path) -> None:
    made.write_events(tmp_path / "events.out.tfevents.1", [("loss", 3, 0.5, 90)])
    made.write_events(tmp_path / "events.out.tfevents.2", [("loss", 1, 0.75, 10)])
    (run,) = gather([tmp_path]).runs
    assert (run.created, run.ended) == (made.BEGAN + 10, made.BEGAN + 90)
    assert points(run, "loss") == [(1, 0.75), (3, 0.5)]


def test_trackio_keeps_settings_and_leaves_out_its_own(tmp_path: Path) -> None:
    path = made.trackio(tmp_path, 4, True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE configs (run_name TEXT, config TEXT)")
    config = json.dumps({"learning_rate": 1e-5, "_Username": "me"})
    connection.execute("INSERT INTO configs VALUES ('silver-lake-7', ?)", (config,))
    connection.commit()
    connection.close()
    (run,) = gather([path]).runs
    assert run.config["learning_rate"] == 1e-5 and "_Username" not in run.config


def test_trackios_times_are_utc_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        (run,) = gather([made.trackio(tmp_path, 4, True)]).runs
        assert run.series["loss"][0][2] == made.BEGAN
    finally:
        monkeypatch.undo()
        time.tzset()


def test_results_of_a_training_that_was_not_timed_are_means_too(tmp_path: Path) -> None:
    run = read(tmp_path, '{"epoch": 3.0, "train_loss": 0.6, "eval_loss": 0.59}', "out/all_results.json")
    assert run.name == "out" and "train_loss" not in run.series and [row.train_loss for row in run.epochs] == [None]
    assert (
        run.last_word == "all_results.json is written at the end" and not run.unused
    )  # a mean over all steps is written at the end
    evaluated = read(tmp_path, '{"epoch": 3.0, "eval_loss": 0.59, "eval_runtime": 2.0}', "mid/eval_results.json")
    assert not evaluated.last_word and evaluated.unused == ("eval_runtime",)


def test_a_wandb_summary_is_named_after_its_run(tmp_path: Path) -> None:
    run = read(tmp_path, '{"_step": 9, "eval/loss": 0.6}', "run-1-ab/files/wandb-summary.json")
    assert run.name == "run-1-ab"


@pytest.mark.parametrize(
    ("name", "text", "series"),
    [
        ("a.csv", "Wall time,Step,Value\n1000,5,0.7\n", {"loss": [(5, 0.7)]}),
        ("eval.csv", "step,loss,accuracy\n5,0.7,0.6\n", {"val_loss": [(5, 0.7)], "val_acc": [(5, 0.6)]}),
        ("a.csv", "step,split,loss\n5,train,0.7\n5,val,0.6\n", {"loss": [(5, 0.7)], "val_loss": [(5, 0.6)]}),
        ("a.csv", "step;lr;val_acc\n5;0,001;61,5%\n", {"learning_rate": [(5, 0.001)], "val_acc": [(5, 0.615)]}),
        ("a.csv", "Name,State,Notes,step,loss\nx,finished,7,5,0.7\n", {"loss": [(5, 0.7)]}),
        ("a.csv", "step,loss,val_loss\n5,0.7\n6,0.6,0.5\n", {"loss": [(5, 0.7), (6, 0.6)], "val_loss": [(6, 0.5)]}),
    ],
)
def test_what_columns_of_a_table_are(
    name: str, text: str, series: dict[str, list[tuple[int, float]]], tmp_path: Path
) -> None:
    run = read(tmp_path, text, name)
    assert {found: points(run, found) for found in run.series} == series


def test_an_epochs_loss_in_a_table_of_steps_is_the_mean_of_those_logged_in_it(tmp_path: Path) -> None:
    run = read(tmp_path, "step,epoch,loss\n5,0.5,0.7\n10,1.0,0.6\n15,1.5,0.5\n", "rm/metrics.csv")
    assert run.name == "rm"
    assert [(row.epoch, row.train_loss) for row in run.epochs] == [(1, pytest.approx(0.65))]


def test_cells_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    run = read(tmp_path, "step,phase,loss\n5,train,0.7\n6,train,oops\n", "a.csv")
    assert any("1 cells are not numbers" in note for note in run.notes)


def test_a_state_and_results_under_other_names_are_what_they_are(tmp_path: Path) -> None:
    assert points(read(tmp_path, json.dumps(STATE), "saved.json"), "loss") == [(25, 0.69), (50, 0.66)]
    assert points(read(tmp_path, '{"epoch": 1.0, "eval_loss": 0.6}', "final.json"), "val_loss")[0][1] == 0.6


def test_rotated_parts_are_one_log_the_oldest_first(tmp_path: Path) -> None:
    for names in (("a.log.2", "a.log.1", "a.log"), ("b.log-20260102", "b.log-20260103", "b.log")):
        for epoch, name in enumerate(names, 1):
            (tmp_path / name).write_text(f"Epoch {epoch}: val_loss={0.7 - epoch / 100:.2f}\n")
    for run in gather([tmp_path]).runs:
        assert [(row.epoch, row.val_loss) for row in run.epochs] == [(1, 0.69), (2, 0.68), (3, 0.67)]


SHORT = [(83, 0.996), (166, 1.992), (249, 2.988)]


def short_epochs(**more: object) -> str:
    history = [{"step": step, "epoch": epoch, "eval_loss": 0.7 - step / 1000} for step, epoch in SHORT]
    return json.dumps({"global_step": 249, "epoch": 2.988, "log_history": history, **more})


@pytest.mark.parametrize(
    "more", [{"max_steps": 249, "num_train_epochs": 3}, {"max_steps": 249}, {}, {"max_steps": 500}]
)
def test_ends_of_epochs_that_a_trainer_counts_a_little_short(more: dict[str, object], tmp_path: Path) -> None:
    run = read(tmp_path, short_epochs(**more), "out/trainer_state.json")
    assert [(row.epoch, row.val_loss) for row in run.epochs] == [
        (1, pytest.approx(0.617)),
        (2, pytest.approx(0.534)),
        (3, pytest.approx(0.451)),
    ]


def test_the_steps_of_all_epochs_say_where_the_first_two_end(tmp_path: Path) -> None:
    history = [{"step": 166, "epoch": 1.992, "eval_loss": 0.6}]
    state = {"global_step": 166, "max_steps": 249, "num_train_epochs": 3, "epoch": 1.992, "log_history": history}
    run = read(tmp_path, json.dumps(state), "out/trainer_state.json")
    assert [(row.epoch, row.val_loss) for row in run.epochs] == [(2, 0.6)]


def test_a_place_shortly_before_an_epochs_end_is_none_of_a_training_that_goes_on(tmp_path: Path) -> None:
    history = [{"step": 95, "epoch": 0.95, "eval_loss": 0.6}]
    run = read(
        tmp_path, json.dumps({"global_step": 95, "max_steps": 300, "log_history": history}), "trainer_state.json"
    )
    assert not run.epochs and run.places[95] == 0.95


def rows(*places: tuple[int, float]) -> Iterator[str]:
    return (json.dumps({"step": step, "epoch": epoch, "loss": 0.6}) + "\n" for step, epoch in places)


def test_epochs_in_all_follow_from_steps_in_all(tmp_path: Path) -> None:
    first = json.dumps({"step": 10, "epoch": 0.25, "loss": 0.7, "total_steps": 120}) + "\n"
    assert read(tmp_path, first + "".join(rows((20, 0.5))), "a.jsonl").config["num_epochs"] == 3


def test_a_resume_replaces_what_was_said_of_later_steps(tmp_path: Path) -> None:
    text = "".join(rows((10, 0.25), (20, 0.5), (30, 0.75)))
    run = read(tmp_path, text + json.dumps({"step": 20, "epoch": 0.5, "loss": 0.5}) + "\n", "a.jsonl")
    assert points(run, "loss") == [(10, 0.6), (20, 0.5)]


def test_a_second_training_begins_where_step_and_epoch_go_back(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(rows((10, 0.5), (20, 1.0), (5, 0.25), (10, 0.5))))
    first, second = gather([tmp_path / "a.jsonl"]).runs
    assert [points(run, "loss") for run in (first, second)] == [[(10, 0.6), (20, 0.6)], [(5, 0.6), (10, 0.6)]]
    assert (first.last_word, second.last_word) == ("another training follows", "")


def test_steps_that_begin_again_in_each_epoch_begin_no_training(tmp_path: Path) -> None:
    read(tmp_path, "".join(rows((10, 0.5), (20, 1.0), (10, 1.5), (20, 2.0))), "a.jsonl")  # one run


def test_after_its_end_a_log_that_goes_back_at_all_is_another_training(tmp_path: Path) -> None:
    one = "{{'loss': {0}, 'learning_rate': 1e-5, 'epoch': {1}}}\n"
    end = "{'train_runtime': 5.0, 'train_loss': 0.6, 'epoch': 1.0}\n"
    text = one.format(0.7, 0.25) + one.format(0.6, 1.0) + end + one.format(0.65, 0.5) + one.format(0.5, 1.0)
    (tmp_path / "a.log").write_text(text)
    first, second = gather([tmp_path / "a.log"]).runs
    assert [value for _, value in points(first, "loss")] == [0.7, 0.6]
    assert [value for _, value in points(second, "loss")] == [0.65, 0.5]
    assert first.last_word.startswith("the log ends") and not second.last_word


def test_accuracies_that_are_none_are_counted(tmp_path: Path) -> None:
    run = read(tmp_path, json.dumps({"step": 1, "loss": 0.6, "eval_accuracy": 230.0}) + "\n", "a.jsonl")
    assert "val_acc" not in run.series and any("1 accuracy was ignored" in note for note in run.notes)


def test_the_mean_over_a_training_of_several_epochs_is_no_epochs(tmp_path: Path) -> None:
    one = read(tmp_path, '{"epoch": 1.0, "train_loss": 0.6, "train_runtime": 9.0}', "one/all_results.json")
    assert [(row.epoch, row.train_loss) for row in one.epochs] == [(1, 0.6)]


def test_a_configuration_that_is_younger_than_the_log_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "rm_config.yaml").write_text("learning_rate: 3e-5\n")
    log = "2026-01-05 10:00:00 start\nval pairs: 1,200\nEpoch 1: val_loss=0.6, val_acc=61%\n"
    run = read(tmp_path, log, "run.log")
    assert "learning_rate" not in run.config
    assert any("was changed after this run began" in note for note in run.notes)
    assert [row.val_pairs for row in run.epochs] == [1200]
