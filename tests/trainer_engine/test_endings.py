"""How a training ends when it does not finish: stopped, failed, refused; and what it leaves to read."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from engine_worlds import quick_end, start, train

import trainer.loop.evaluate
import trainer.loop.optimizer_step
import trainer.loop.train
import trainer.model.reward
from trainer import manifest
from trainer.smaller_batch import smaller_batch


def signalled_at(steps, number=signal.SIGTERM):
    """Each rank gets the signal, twice, after another step: {rank: step}."""

    def patch(rank):
        quick_end(rank)
        report = trainer.loop.train.Training.report_step

        def report_and_signal(self, *figures):
            report(self, *figures)
            if self.progress.step == steps.get(rank):
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)

        trainer.loop.train.Training.report_step = report_and_signal

    return patch


def test_ranks_agree_on_the_step_at_which_they_stop(bench, tmp_path):
    """Rank 1 is told at step 2; rank 0 would be at step 3, and must not go on to it."""
    world = train(tmp_path, bench.options(), 2, signalled_at({0: 3, 1: 2}))
    assert world.codes == [0, 0], world.log()
    assert world.result["outcome"] == "stopped"
    assert world.result["step"] == 2
    assert max(world.losses) == 2
    assert [checkpoint.step for checkpoint in manifest.checkpoints(tmp_path)] == [2]
    assert [event.kind for event in world.events[-3:]] == ["stopping", "checkpoint", "end"]
    whole = train(tmp_path / "whole", bench.options(), 2, quick_end)
    resumed = train(tmp_path, bench.options(), 2, quick_end, ("--resume", tmp_path / "checkpoints/step-000002"))
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > 2}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_an_evaluation_leaves_it_to_the_resume(bench, tmp_path, number):
    """Told at an epoch's last step: the checkpoint says that the evaluation is due, the resume does it first."""
    world = train(tmp_path, bench.options(), 1, signalled_at({0: 7}, number))
    assert world.result["outcome"] == "stopped"
    assert world.of("eval") == []
    resumed = train(tmp_path, bench.options(), 1, quick_end, ("--resume", tmp_path / "checkpoints/step-000007"))
    assert [event.kind for event in resumed.events if event.kind in ("step", "eval", "epoch")][:3] == [
        "eval",
        "epoch",
        "step",
    ]
    whole = train(tmp_path / "whole", bench.options(), 1, quick_end)
    assert resumed.of("epoch")[0].metrics == whole.of("epoch")[0].metrics
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > 7}


def test_a_stop_inside_an_evaluation_does_not_wait_for_its_end(bench, tmp_path):
    """Rank 1 is told between two of its evaluation batches; both ranks give the evaluation up."""

    def patch(rank):
        quick_end(rank)
        rewards = trainer.loop.evaluate.rewards

        def score_and_signal(*given):
            if rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return rewards(*given)

        trainer.loop.evaluate.rewards = score_and_signal

    config = bench.options(num_epochs=1, eval_batch_size=1)
    world = train(tmp_path, config, 2, patch)
    assert world.codes == [0, 0], world.log()
    assert (world.result["outcome"], world.of("eval")) == ("stopped", [])
    resumed = train(tmp_path, config, 2, quick_end, ("--resume", manifest.newest(tmp_path).folder))
    assert resumed.result["outcome"] == "finished"
    assert len(resumed.of("eval")) == 1


def test_a_stop_before_the_first_step_can_be_resumed(bench, tmp_path):
    def early(rank):
        quick_end(rank)
        prepare = trainer.loop.setup.load_data

        def load_and_signal(*given):
            os.kill(os.getpid(), signal.SIGTERM)
            return prepare(*given)

        trainer.loop.setup.load_data = load_and_signal

    world = train(tmp_path, bench.options(num_epochs=1), 1, early)
    assert (world.result["outcome"], world.result["step"]) == ("stopped", 0)
    resumed = train(tmp_path, bench.options(num_epochs=1), 1, quick_end, ("--resume", manifest.newest(tmp_path).folder))
    assert resumed.result["outcome"] == "finished"


def poisoned(pair_id, value):
    """The loss of one pair becomes `value`."""

    def patch(rank):
        quick_end(rank)
        original = trainer.loop.train.Training.forward_backward

        def forward(self, indices, *more, **named):
            ids = [self.session.train.pairs[index].id for index in indices]
            loss = trainer.loop.loss.pair_loss

            def poison(*given):
                losses = loss(*given)
                factors = torch.tensor([value if one == pair_id else 1.0 for one in ids])
                return losses * factors

            trainer.loop.train.pair_loss = poison
            return original(self, indices, *more, **named)

        trainer.loop.train.Training.forward_backward = forward

    return patch


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_fails_with_step_and_pair(bench, tmp_path, value):
    world = train(tmp_path, bench.options(num_epochs=1), 2, poisoned("p11", value))
    assert world.codes == [1, 1]
    assert world.result["outcome"] == "failed"
    failure = json.loads((world.attempt / "failure-rank0.json").read_text())
    assert failure["pair_ids"] == ["p11"]
    assert failure["step"] == max(world.losses, default=0) + 1 == world.result["step"]
    assert "learning_rate" in failure["text"]
    assert [event.kind for event in world.events[-2:]] == ["failure", "end"]


def test_a_gradient_that_is_not_finite_fails_before_any_weight_changes(bench, tmp_path):
    def patch(rank):
        quick_end(rank)
        norm = trainer.loop.optimizer_step.Stepper.clip

        def overflow(self, fault):
            if self.accelerator.process_index == 1:
                self.parameters[0].grad[0, 0] = float("inf")
            return norm(self, fault)

        trainer.loop.optimizer_step.Stepper.clip = overflow

    world = train(tmp_path, bench.options(num_epochs=1), 2, patch)
    assert world.codes == [1, 1]
    assert world.result["step"] == 1
    assert world.result["grad_norm"] in ("Infinity", "NaN")
    assert len(world.result["pair_ids"]) == 8


def test_a_run_that_is_renamed_while_it_trains_makes_no_second_one_at_its_old_place(bench, tmp_path):
    """The trainer keeps the path that it was given: its next save fails in words."""

    def patch(rank):
        quick_end(rank)
        save = trainer.loop.checkpoint.save

        def renamed(session, reason):
            session.request.run.rename(tmp_path / "renamed")
            return save(session, reason)

        trainer.loop.checkpoint.save = renamed

    world = train(tmp_path / "run", bench.options(num_epochs=1), 1, patch)
    assert world.codes != [0]
    assert not world.run.exists()
    log = (tmp_path / "renamed" / world.attempt.name / "logs" / "rank0.log").read_text()
    assert "cannot be written: [Errno 2]" in log


def test_out_of_memory_names_what_to_try(bench, tmp_path):
    """A real OutOfMemoryError cannot be had on this machine without its whole memory, so one is injected on rank 1."""

    def patch(rank):
        quick_end(rank)
        if rank == 1:

            def full(*given):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

            trainer.loop.train.rewards = full

    world = train(tmp_path, bench.options(batch_size=3, num_epochs=1), 2, patch)
    assert 1 in world.codes
    failure = json.loads((world.attempt / "failure-rank1.json").read_text())
    assert failure["suggest"] == {"batch_size": 1, "gradient_accumulation_steps": 6, "max_length": 64}
    assert "out of memory with batch_size 3" in failure["text"]
    assert "try batch_size 1, gradient_accumulation_steps 6" in failure["text"]
    assert world.result["rank"] == 1
    assert world.result["suggest"] == failure["suggest"]


def test_smaller_keeps_the_effective_batch():
    half = smaller_batch(6, 2, 512)
    assert half == {"batch_size": 3, "gradient_accumulation_steps": 4, "max_length": 512}
    tokens = smaller_batch(6, 2, 512, 8192)
    assert tokens == {"batch_size": 6, "gradient_accumulation_steps": 2, "max_length": 512, "batch_tokens": 4096}
    assert smaller_batch(6, 2, 512, 1024) == {**tokens, "max_length": 256, "batch_tokens": 512}
    single = smaller_batch(1, 8, 512)
    assert single == {"batch_size": 1, "gradient_accumulation_steps": 8, "max_length": 256}


def test_an_error_on_another_rank_is_the_reason_that_rank_0_gives(bench, tmp_path):
    def patch(rank):
        quick_end(rank)
        if rank == 1:

            def broken(*given):
                raise ZeroDivisionError("a bug on rank 1")

            trainer.loop.train.collate = broken

    world = train(tmp_path, bench.options(num_epochs=1), 2, patch)
    assert 0 not in world.codes
    assert world.result["outcome"] == "failed"
    assert world.result["reason"] == "a bug on rank 1 (rank 1, step 1)"
    assert "ZeroDivisionError" in json.loads((world.attempt / "failure-rank1.json").read_text())["traceback"]


def test_a_rank_that_hangs_leaves_when_another_has_failed(bench, tmp_path):
    """As in a collective whose peer is gone: nobody would ever wake it."""

    def patch(rank):
        quick_end(rank)

        def broken(*given):
            if rank == 1:
                raise ZeroDivisionError("a bug on rank 1")
            threading.Event().wait()

        trainer.loop.train.collate = broken

    world = train(tmp_path, bench.options(num_epochs=1), 2, patch)
    assert world.codes == [1, 1]
    assert world.result["reason"] == "a bug on rank 1 (rank 1, step 1)"


def test_a_rank_that_is_killed_leaves_a_reason_with_the_other(bench, tmp_path):
    def patch(rank):
        quick_end(rank)
        if rank == 1:
            trainer.loop.train.collate = lambda *given: os.kill(os.getpid(), signal.SIGKILL)

    world = start(tmp_path, bench.options(num_epochs=1), 2, patch)
    world.until((world.attempt / "result.json").exists)
    assert world.wait().codes[1] == -signal.SIGKILL
    assert world.result["outcome"] == "failed"
    assert world.result["reason"].startswith("another rank died without a word")


def test_two_ranks_keep_their_logs_and_heartbeats_apart(bench, tmp_path):
    world = train(tmp_path, bench.options(num_epochs=1), 2, quick_end)
    assert "Epoch 1/1" in world.log(0)
    assert "Epoch 1/1" not in world.log(1)
    for rank in (0, 1):
        step, micro_step, *_ = (world.attempt / f"ranks/rank{rank}").read_text().split()
        assert (int(step), int(micro_step)) == (4, 8)


def test_stacks_go_into_the_log_on_request(bench, tmp_path):
    world = start(tmp_path, bench.options(num_epochs=200), 1, quick_end)
    world.until(lambda: len(world.losses) > 0)
    world.signal(signal.SIGUSR1)
    world.until(lambda: "most recent call first" in world.log())
    world.signal(signal.SIGTERM)
    assert world.wait().codes == [0]
    assert world.result["outcome"] == "stopped"


def refused(run, text, *arguments, **environment):
    """`python -m trainer` as a person starts it: (exit code, what it printed)."""
    run.mkdir(exist_ok=True)
    (run / "spec.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "--config", str(run / "spec.toml"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_all_mistakes_of_a_configuration_are_told_at_once(tmp_path):
    text = '[config]\nlearning_rate = "fast"\nepochs = 3\nlora = { r = 0 }\n'
    code, said = refused(tmp_path, text)
    assert code == 2
    for words in ("learning_rate: 'fast' is not a number", "epochs: unknown key", "lora.r: 0 is out of range"):
        assert words in said
    assert "Traceback" not in said
    code, said = refused(tmp_path, 'model = "/nowhere/model"\n[data]\ntrain = "/nowhere/train.jsonl"\n')
    assert code == 2
    assert "/nowhere/model does not exist" in said
    assert "data.train: /nowhere/train.jsonl does not exist" in said
    assert refused(tmp_path, "learning_rate = [")[0] == 2


def test_fewer_processes_than_promised_are_refused(bench, tmp_path):
    from engine_worlds import toml

    text = toml(bench.options()) + "[launch]\nprocesses = 2\n"
    code, said = refused(tmp_path, text)
    assert code == 2
    assert "launch.processes is 2, but 1 started" in said


def test_a_tracker_that_is_not_installed_is_refused(bench, tmp_path):
    def hide(rank):
        trainer.loop.setup.importlib.util.find_spec = lambda name: None

    world = train(tmp_path, bench.options(trackers=["trackio"]), 1, hide)
    assert world.codes == [2]
    assert "pip install trackio" in world.log()
    assert world.result["outcome"] == "failed"


def test_a_pair_file_with_broken_lines_is_refused_in_words(bench, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text(bench.train.read_text() + '{"prompt": "x"}\n')
    world = train(tmp_path, bench.options(data__train=str(path)), 2)
    assert world.codes == [2, 2]
    assert "line 28" in world.log()
    assert "Traceback" not in world.log()
