"""A killed training goes on as if nothing had happened: the losses that follow are equal in hex."""

import os
import signal

import pytest
from engine_worlds import make_rows, quick_end, train

import trainer.loop.checkpoint
import trainer.loop.train
from trainer import manifest
from trainer.model import toy


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying_after(step):
    """SIGKILL right after an optimizer step, before anything that follows it."""

    def patch(rank):
        quick_end(rank)
        report = trainer.loop.train.Training.report_step

        def report_and_die(self, *figures):
            report(self, *figures)
            if self.progress.step == step:
                die()

        trainer.loop.train.Training.report_step = report_and_die

    return patch


def dying_in_save(save, where):
    """SIGKILL inside the save number `save`, at one of its stages."""

    def patch(rank):
        quick_end(rank)
        count = 0

        def counted(module, name, before):
            original = getattr(module, name)

            def call(*given):
                nonlocal count
                count += 1
                if count == save and before:
                    die()
                made = original(*given)
                if count == save:
                    die()
                return made

            setattr(module, name, call)

        stages = {
            "before the model is written": (trainer.loop.checkpoint, "save_model", True),
            "before the manifest": (trainer.loop.checkpoint.manifest, "seal", True),
            "before the rename": (trainer.loop.checkpoint.manifest, "publish", True),
            "after the rename": (trainer.loop.checkpoint.manifest, "publish", False),
            "before older ones are removed": (trainer.loop.checkpoint.manifest, "prune", True),
        }
        counted(*stages[where])

    return patch


@pytest.fixture(scope="module")
def whole(bench, tmp_path_factory):
    """The uninterrupted run, by number of ranks."""
    made = {}

    def of(ranks):
        if ranks not in made:
            run = tmp_path_factory.mktemp(f"whole{ranks}")
            made[ranks] = train(run, bench.options(save_steps=3), ranks, quick_end)
            assert made[ranks].codes == [0] * ranks, made[ranks].log()
        return made[ranks]

    return of


def assert_goes_on(killed, whole, config, ranks):
    """Resume from the newest whole checkpoint; every later loss, epoch figure and weight is the uninterrupted run's."""
    checkpoint = manifest.newest(killed.run)
    resumed = train(killed.run, config, ranks, quick_end, ("--resume", checkpoint.folder))
    assert resumed.codes == [0] * ranks, resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is True
    steps = {step: loss for step, loss in whole.losses.items() if step > checkpoint.step}
    assert steps
    assert resumed.losses == steps
    tail = [event.metrics for event in whole.of("epoch") if event.step > checkpoint.step]
    assert [event.metrics for event in resumed.of("epoch")] == tail
    weights = "model/adapter_model.safetensors"
    assert (killed.run / weights).read_bytes() == (whole.run / weights).read_bytes()


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("step", [4, 7])
def test_killed_after_a_step(bench, tmp_path, whole, ranks, step):
    config = bench.options(save_steps=3)
    killed = train(tmp_path, config, ranks, dying_after(step))
    assert -signal.SIGKILL in killed.codes
    assert_goes_on(killed, whole(ranks), config, ranks)


@pytest.mark.parametrize(
    "where",
    [
        "before the model is written",
        "before the manifest",
        "before the rename",
        "after the rename",
        "before older ones are removed",
    ],
)
def test_killed_inside_a_save(bench, tmp_path, whole, where):
    config = bench.options(save_steps=3)
    killed = train(tmp_path, config, 1, dying_in_save(2, where))
    assert killed.codes == [-signal.SIGKILL]
    assert_goes_on(killed, whole(1), config, 1)


@pytest.mark.parametrize("where", ["before the manifest", "before the rename", "after the rename"])
def test_killed_inside_a_save_on_two_ranks(bench, tmp_path, whole, where):
    """Rank 0 dies there; the other is killed with it, as a launcher does."""
    config = bench.options(save_steps=3)
    killed = train(tmp_path, config, 2, dying_in_save(2, where))
    assert_goes_on(killed, whole(2), config, 2)


@pytest.mark.parametrize("step", [4, 7])
def test_a_mixture_goes_on_as_well(bench, tmp_path, step):
    sources = [f"{bench.train};weight=0.5", f"{bench.val};weight=2;limit=5"]
    config = bench.options(data__train="", data__source=sources, save_steps=3)
    whole = train(tmp_path / "whole", config, 1, quick_end)
    assert whole.codes == [0], whole.log()
    killed = train(tmp_path / "killed", config, 1, dying_after(step))
    assert_goes_on(killed, whole, config, 1)


@pytest.mark.parametrize("kind", ["encoder", "full"])
def test_encoders_and_whole_models_go_on_as_well(bench, tmp_path, kind):
    if kind == "encoder":
        texts = [row["prompt"] + row["chosen"] for row in make_rows(20)]
        folder = toy.make_encoder(tmp_path / "model", texts, vocabulary=400, hidden=32)
        config = bench.options(model=str(folder), num_epochs=1, save_steps=3)
    else:
        config = bench.options(method="full", num_epochs=1, save_steps=3)
    run = tmp_path / "run"
    whole = train(run, config, 1, quick_end)
    assert whole.codes == [0], whole.log()
    resumed = train(run, config, 1, quick_end, ("--resume", manifest.checkpoints(run)[0].folder))
    assert resumed.codes == [0], resumed.log()
    begin = resumed.of("start")[0].step
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > begin}
    assert resumed.of("epoch")[0].metrics == whole.of("epoch")[0].metrics


def test_another_batch_size_is_refused_without_force(bench, tmp_path):
    train(tmp_path, bench.options(save_steps=3), 1, dying_after(5))
    folder = manifest.newest(tmp_path).folder
    other = bench.options(save_steps=3, batch_size=4)
    refused = train(tmp_path, other, 1, quick_end, ("--resume", folder))
    assert refused.codes == [2]
    assert "batch_size was 2, now 4" in refused.log()
    assert "--force" in refused.log()
    assert "Traceback" not in refused.log()
    forced = train(tmp_path, other, 1, quick_end, ("--resume", folder, "--force"))
    assert forced.codes == [0], forced.log()
    assert forced.of("start")[0].data["exact_resume"] is False
    assert forced.result["epoch"] == 2.0


def test_another_world_size_or_other_pairs_are_refused(bench, tmp_path):
    train(tmp_path, bench.options(), 1, quick_end)
    folder = manifest.newest(tmp_path).folder
    assert "1 processes, now on 2" in train(tmp_path, bench.options(), 2, quick_end, ("--resume", folder)).log()
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(bench.train.read_text().splitlines(keepends=True)[:-1]))
    changed = train(tmp_path, bench.options(data__train=str(fewer)), 1, quick_end, ("--resume", folder))
    assert changed.codes == [2]
    assert "train pairs have changed" in changed.log()


def test_a_damaged_checkpoint_is_found(bench, tmp_path):
    train(tmp_path, bench.options(), 1, quick_end)
    newest = manifest.newest(tmp_path).folder
    weights = newest / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert manifest.newest(tmp_path).folder != newest
    refused = train(tmp_path, bench.options(), 1, quick_end, ("--resume", newest))
    assert refused.codes == [2]
    assert "adapter_model.safetensors was changed" in refused.log()


def wsd(epochs, warmup_steps, decay_steps, **more):
    """Options of a warmup-stable-decay run of 7 steps an epoch (27 pairs), by its steps."""
    total = 7 * epochs
    ratios = {"warmup_ratio": (warmup_steps + 0.5) / total, "lr_decay_ratio": (decay_steps + 0.5) / total}
    return {"num_epochs": epochs, "lr_scheduler": "wsd", "keep_checkpoints": 9, **ratios, **more}


def test_a_run_is_extended_exactly_from_before_its_decay(bench, tmp_path):
    """A longer run that branches off the stable part is the longer run trained from its start, bit by bit."""
    short = train(tmp_path / "short", bench.options(**wsd(1, 2, 3, save_steps=4)), 1, quick_end)
    config = bench.options(**wsd(2, 2, 4))
    long = train(tmp_path / "long", config, 1, quick_end)
    branch = short.run / "checkpoints" / manifest.folder_name(4)
    extended = train(tmp_path / "extended", config, 1, quick_end, ("--resume", branch))
    assert extended.codes == [0], extended.log()
    assert extended.of("start")[0].data["exact_resume"] is True
    assert extended.losses == {step: loss for step, loss in long.losses.items() if step > 4}
    assert manifest.best(extended.run).folder.parent.parent == extended.run
    weights = "checkpoints/step-000014/adapter_model.safetensors"
    assert (extended.run / weights).read_bytes() == (long.run / weights).read_bytes()


def test_from_within_the_decay_nothing_is_extended_exactly(bench, tmp_path):
    short = train(tmp_path / "short", bench.options(**wsd(1, 2, 3, save_steps=6)), 1, quick_end)
    branch = short.run / "checkpoints" / manifest.folder_name(6)
    refused = train(tmp_path / "extended", bench.options(**wsd(2, 2, 4)), 1, quick_end, ("--resume", branch))
    assert refused.codes == [2]
    assert "num_epochs was 1, now 2" in refused.log()
