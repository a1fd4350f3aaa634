"""What ranks tell of themselves between training steps, for whoever asks whether the training hangs."""

import subprocess

from engine_worlds import quick_end, train

from trainer import heartbeat

Said = tuple[str, int, int]


def recorded(run, also=quick_end):
    """Each rank's beats, beside the one that stands in its file."""

    def patch(rank):
        also(rank)
        beat = heartbeat.Heartbeat.beat

        def beat_and_note(self, step, micro_step, doing="", done=0, of=0):
            beat(self, step, micro_step, doing, done, of)
            with (run / f"beats{rank}").open("a") as file:
                file.write(f"{doing}\t{done}\t{of}\n")

        heartbeat.Heartbeat.beat = beat_and_note

    return patch


def said(run, rank) -> list[Said]:
    rows = [line.split("\t") for line in (run / f"beats{rank}").read_text().splitlines()]
    return [(doing, int(done), int(of)) for doing, done, of in rows]


def test_every_batch_of_an_evaluation_is_a_sign_of_life_of_its_rank(bench, tmp_path):
    """9 pairs over 2 ranks, 2 a batch: 5 and 4 pairs, told as shares of the whole set."""
    options = bench.options(num_epochs=1, eval_batch_size=2, data__extra_val={"hard": str(bench.val)})
    train(tmp_path, options, 2, recorded(tmp_path))
    for rank, shares in ((0, [0, 3, 7, 9]), (1, [0, 4, 9])):
        for name in ("evaluating", "evaluating hard"):
            assert [(done, of) for doing, done, of in said(tmp_path, rank) if doing == name] == [(n, 9) for n in shares]
    assert ("", 0, 0) in said(tmp_path, 0)


def test_what_follows_the_last_step_is_told_by_its_name(bench, tmp_path):
    """Save, write the model, end; the fresh process speaks for rank 0, which waits for it."""

    def patch(rank):
        run = subprocess.run

        def run_and_look(*args, **kwargs):
            file = tmp_path / "attempt-1/ranks/rank0"
            before = heartbeat.read(file.read_bytes())
            done = run(*args, **kwargs)
            after = heartbeat.read(file.read_bytes())
            assert after.t > before.t and after.doing == before.doing == "checking the saved model"
            assert (after.step, after.beats) == (before.step, 2 + 9), "its libraries, the model, each of 9 pairs"
            return done

        subprocess.run = run_and_look

    world = train(tmp_path, bench.options(num_epochs=1), 1, recorded(tmp_path, patch))
    assert world.codes == [0], world.log()
    heard = [doing for doing, _, _ in said(tmp_path, 0)]
    after = list(dict.fromkeys(heard[len(heard) - heard[::-1].index("evaluating") :]))
    assert after == ["saving a checkpoint", "writing the model", "checking the saved model", "ending"]
