"""The last check of a training: what it must find, and what must not disturb it."""

import json
import re

import pytest
import torch
from engine_worlds import quick_end, train
from safetensors.torch import load_file, save_file

import trainer.loop.setup
import trainer.loop.train
from trainer import manifest
from trainer.loop import checkpoint, environment, round_trip, start_check
from trainer.model import toy
from trainer.release import export


def before_the_check(change):
    """Runs `change(ready, model folder)` between writing model/ and checking it."""

    def patch(rank):
        write = trainer.loop.train.checkpoint.write_model

        def write_and_change(ready):
            folder = write(ready)
            change(ready, folder)
            return folder

        trainer.loop.train.checkpoint.write_model = write_and_change

    return patch


def replace(path, content):
    """A file of its own in place of the hard link."""
    path.unlink()
    path.write_bytes(content)


def doubted(world, why):
    """The run finished and keeps its model, which is said to be not verified."""
    assert world.codes == [0], world.log()
    assert world.result["outcome"] == "finished" and world.result["verified"] is False
    assert "not verified: " in world.result["reason"] and why in world.result["reason"]
    assert (world.run / "model" / "adapter_model.safetensors").is_file()


def test_the_fresh_process_finds_the_same_rewards(bench, tmp_path):
    world = train(tmp_path, bench.options(num_epochs=1), 1)
    assert world.codes == [0], world.log()
    (check,) = world.of("round_trip")
    assert check.data["passed"]
    assert check.data["max_difference"] <= 1e-6
    assert world.result["verified"] is True
    assert world.result["padded"] == {"right": True, "left": True}
    pointer = manifest.best(tmp_path)
    probe = round_trip.read_probe(pointer.folder)
    records = {row["id"]: row for row in map(json.loads, (tmp_path / "validation/epoch-1.jsonl").open())}
    assert len(probe) == 8
    assert all(abs(one["chosen"] - records[one["id"]]["chosen"]) < 1e-6 for one in probe)


def test_a_model_folder_that_was_tampered_with_fails_the_round_trip(bench, tmp_path):
    """The check must be able to fail: here the head in model/ is another than the one that was trained."""

    def tamper(ready, folder):
        weights = load_file(folder / "adapter_model.safetensors")
        weights["base_model.model.score.weight"] += 0.01
        (folder / "adapter_model.safetensors").unlink()
        save_file(weights, folder / "adapter_model.safetensors")

    world = train(tmp_path, bench.options(num_epochs=1), 1, before_the_check(tamper))
    doubted(world, "other rewards than were trained")
    assert "surroundings" not in world.result["reason"]


def test_a_head_that_was_not_saved_fails_the_round_trip(bench, tmp_path):
    """As with an adapter whose task type leaves the head out: the fresh process then draws one from its own seed."""

    def forget(ready, folder):
        weights = load_file(folder / "adapter_model.safetensors")
        kept = {name: weight for name, weight in weights.items() if "score" not in name}
        assert len(kept) < len(weights)
        (folder / "adapter_model.safetensors").unlink()
        save_file(kept, folder / "adapter_model.safetensors")
        settings = json.loads((folder / "adapter_config.json").read_text())
        changed = json.dumps(settings | {"task_type": None, "modules_to_save": None})
        replace(folder / "adapter_config.json", changed.encode())

    world = train(tmp_path, bench.options(num_epochs=1), 1, before_the_check(forget))
    doubted(world, "other rewards than were trained")


def test_another_tokenizer_in_the_folder_fails_the_round_trip(bench, tmp_path):
    def swap(ready, folder):
        document = json.loads((folder / "tokenizer.json").read_text())
        document["model"]["merges"] = document["model"]["merges"][:5]
        replace(folder / "tokenizer.json", json.dumps(document).encode())

    world = train(tmp_path, bench.options(num_epochs=1), 1, before_the_check(swap))
    doubted(world, "the saved tokenizer makes other tokens of pair p27")


def test_the_fresh_process_computes_with_the_threads_of_the_training(bench, tmp_path):
    """Another number of threads rounds differently, which would be told as a fault of the saved model. And neither a
    validation file nor a spec.toml that changed meanwhile is one."""
    val = tmp_path / "val.jsonl"
    val.write_bytes(bench.val.read_bytes())
    answers = tmp_path / "answers.json"

    def patch(rank):
        torch.set_num_threads(2)  # OMP_NUM_THREADS, which a child would go by, says 1
        ask = round_trip.ask

        def ask_and_keep(*given):
            found = ask(*given)
            answers.write_text(json.dumps(found))
            return found

        round_trip.ask = ask_and_keep

        def edit(ready, folder):
            val.write_text(val.read_text().replace("question", "demand"))
            ready.spec.path.write_text("[config]\n")

        before_the_check(edit)(rank)

    world = train(tmp_path / "run", bench.options(num_epochs=1, data__val=str(val)), 1, patch)
    assert world.codes == [0], world.log()
    assert world.result["verified"] is True
    assert json.loads(answers.read_text())["facts"]["threads"] == 2


def test_a_trainer_that_was_changed_while_it_trained_is_named(bench, tmp_path):
    def patch(rank):
        environment.program = lambda: "older"

        def tamper(ready, folder):
            weights = load_file(folder / "adapter_model.safetensors")
            weights["base_model.model.score.weight"] += 0.01
            (folder / "adapter_model.safetensors").unlink()
            save_file(weights, folder / "adapter_model.safetensors")

        before_the_check(tamper)(rank)

    world = train(tmp_path, bench.options(num_epochs=1), 1, patch)
    doubted(world, "surroundings changed")
    assert f"trainer was older, now {environment.program()}" in world.result["reason"]


def test_a_model_that_cannot_be_loaded_is_kept_and_says_why(bench, tmp_path):
    def tear(ready, folder):
        file = folder / "adapter_model.safetensors"
        replace(file, file.read_bytes()[:100])

    world = train(tmp_path, bench.options(num_epochs=1), 1, before_the_check(tear))
    assert (world.codes, world.result["verified"]) == ([0], False)
    assert "could not score" in world.result["unverified"]

    weights = (manifest.chosen(tmp_path) / "adapter_model.safetensors").read_bytes()
    (tmp_path / "model" / "adapter_model.safetensors").write_bytes(weights)
    assert export.main(["verify", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "verification.json").read_text())["verified"] is True


@pytest.mark.parametrize("large", [False, True])
def test_the_start_check_finds_before_the_first_step_what_would_not_load(bench, tmp_path, large):
    """A head that is saved otherwise than it was trained is refused before any step, whatever the cause; of a large
    model its first layers show it."""
    base = toy.make_decoder(tmp_path / "base", toy.PROMPTS, vocabulary=400, hidden=32, layers=4)

    def forget(rank):
        save = checkpoint.write_weights
        start_check.LARGEST_BYTES = 0 if large else 6 << 30

        def save_another_head(made, folder, weights=None):
            save(made, folder, weights)
            file = folder / "adapter_model.safetensors"
            found = load_file(file)
            found["base_model.model.score.weight"] *= 1.1
            save_file(found, file)

        checkpoint.write_weights = save_another_head

    world = train(tmp_path / "run", bench.options(model=str(base), start_check=True), 1, forget)
    assert (world.codes, world.result["refused"]) == ([2], True)
    assert ("head and first 2 layers saved" in world.log()) is large
    assert "start check: plain transformers find other rewards" in world.result["reason"]
    left = [*tmp_path.glob("run/checkpoints/*"), *tmp_path.glob("run/.tmp-*")]
    assert not world.of("step") and not left


def test_the_start_check_changes_no_loss(bench, tmp_path):
    """Its nudge is taken back to the bit, and it draws nothing from the training's random numbers."""
    plain = train(tmp_path / "plain", bench.options(num_epochs=1), 1, quick_end)
    checked = train(tmp_path / "checked", bench.options(num_epochs=1, start_check=True), 1, quick_end)
    assert checked.codes == [0], checked.log()
    assert checked.losses == plain.losses
    first = checked.of("round_trip")[0]
    assert (first.step, first.data["when"], first.data["passed"]) == (0, "start", True)
    assert first.data["spread"] > 100 * first.data["max_difference"]


def test_time_or_memory_that_runs_out_does_not_refuse_a_training(bench, tmp_path):
    def patch(rank):
        quick_end(rank)

        def no_time(*given):
            raise round_trip.NotComparable("a fresh process had not scored after 120 s", of_machine=True)

        round_trip.ask = no_time

    world = train(tmp_path, bench.options(num_epochs=1, start_check=True), 1, patch)
    assert world.codes == [0], world.log()
    assert "start check: not done" in world.log()


def test_a_difference_that_is_too_large_is_shown_larger_than_what_is_allowed():
    found = round_trip.RoundTrip(0.00284, {"left": 0.0}, "left", tolerance=0.00278, spread=0.0246)
    gap, allowed = re.findall(r"differ by ([\d.]+), more than ([\d.]+),", found.fault)[0]
    assert float(gap) > float(allowed)
