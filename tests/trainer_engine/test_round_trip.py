"""The last check of a training: what it must find, and what must not disturb it."""

import json

import torch
from engine_worlds import quick_end, train
from safetensors.torch import load_file, save_file

import trainer.loop.setup
import trainer.loop.train
from trainer import manifest
from trainer.loop import environment, round_trip


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


def test_the_fresh_process_finds_the_same_rewards(bench, tmp_path):
    world = train(tmp_path, bench.options(num_epochs=1), 1)
    assert world.codes == [0], world.log()
    (check,) = world.of("round_trip")
    assert check.data["passed"]
    assert check.data["max_difference"] == 0.0
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
    assert world.codes == [1]
    assert world.result["outcome"] == "failed"
    assert "other rewards than were trained" in world.result["reason"]
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
    assert (world.codes, world.result["outcome"]) == ([1], "failed")
    assert "other rewards than were trained" in world.result["reason"]


def test_another_tokenizer_in_the_folder_fails_the_round_trip(bench, tmp_path):
    def swap(ready, folder):
        document = json.loads((folder / "tokenizer.json").read_text())
        document["model"]["merges"] = document["model"]["merges"][:5]
        replace(folder / "tokenizer.json", json.dumps(document).encode())

    world = train(tmp_path, bench.options(num_epochs=1), 1, before_the_check(swap))
    assert world.codes == [1]
    assert "the saved tokenizer makes other tokens of pair p27" in world.result["reason"]


def test_the_fresh_process_computes_with_the_threads_of_the_training(bench, tmp_path):
    """Another number of threads rounds differently, which would be told as a fault of the saved model. And neither a
    validation file nor a spec.toml that changed meanwhile is one."""
    val = tmp_path / "val.jsonl"
    val.write_bytes(bench.val.read_bytes())
    answers = tmp_path / "answers.json"

    def patch(rank):
        torch.set_num_threads(2)  # OMP_NUM_THREADS, which a child would go by, says 1
        ask = round_trip.fresh_scores

        def ask_and_keep(*given):
            found = ask(*given)
            answers.write_text(json.dumps(found))
            return found

        round_trip.fresh_scores = ask_and_keep

        def edit(ready, folder):
            val.write_text(val.read_text().replace("question", "demand"))
            ready.spec.path.write_text("[config]\n")

        before_the_check(edit)(rank)

    world = train(tmp_path / "run", bench.options(num_epochs=1, data__val=str(val)), 1, patch)
    assert world.codes == [0], world.log()
    assert world.result["round_trip"] == 0.0
    assert json.loads(answers.read_text())["facts"]["threads"] == 2


def test_a_best_checkpoint_of_another_machine_is_scored_anew(bench, tmp_path):
    """Its recorded rewards were rounded elsewhere; what counts is whether its weights load as they are."""

    def elsewhere(rank):
        quick_end(rank)
        environment.processor = lambda: "another"
        score = trainer.loop.checkpoint.score_probe

        def rounded_otherwise(*given):
            return [(chosen + 1e-5, rejected) for chosen, rejected in score(*given)]

        trainer.loop.checkpoint.score_probe = rounded_otherwise
        evaluate = trainer.loop.milestones.Milestones.score_sets

        def first_is_best(self, ends_epoch):
            return evaluate(self, ends_epoch) | {"val_acc": 10.0 - self.progress.step}

        trainer.loop.milestones.Milestones.score_sets = first_is_best

    first = train(tmp_path, bench.options(num_epochs=2), 1, elsewhere)
    assert first.codes == [0], first.log()
    best, *_ = manifest.checkpoints(tmp_path)
    assert manifest.best(tmp_path).folder == best.folder
    resumed = train(tmp_path, bench.options(num_epochs=2), 1, None, ("--resume", best.folder))
    assert resumed.codes == [0], resumed.log()
    assert "processor was another" in resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is False
    assert manifest.best(tmp_path).step == best.step
    assert resumed.result["round_trip"] <= 1e-6


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
    assert world.codes == [1]
    assert "surroundings changed" in world.result["reason"]
    assert f"trainer was older, now {environment.program()}" in world.result["reason"]
