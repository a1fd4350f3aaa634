"""A base model that changed under an adapter, or weights that changed in a checkpoint: whatever goes on from them says
so, and gives no number."""

import json
import shutil

import pytest
from engine_worlds import quick_end, train
from safetensors.torch import load_file, save_file

from trainer import manifest
from trainer.release import export


def change(folder):
    """As another training that was saved at the same place would."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.down_proj.weight"] *= 1.5
    file.unlink()  # others may hold a link to it
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("method", ["lora", "full"])
def test_no_number_comes_of_weights_that_have_changed(bench, tmp_path, method, capsys):
    base, run = shutil.copytree(bench.model, tmp_path / "base"), tmp_path / "run"
    options = bench.options(model=str(base), method=method)
    assert train(run, options, 1, quick_end).codes == [0]
    first = manifest.checkpoints(run)[0].folder
    folders = [run, first, run / "model"] if method == "lora" else [first]

    def scored(folder):
        capsys.readouterr()
        return export.main(["score", str(folder), str(bench.val), "--json"]), capsys.readouterr()

    for folder in folders:
        code, said = scored(folder)
        assert code == 0 and json.loads(said.out)["pairs"] == 9, said.err
    changed = base if method == "lora" else first
    change(changed)
    what = f"its base model {base} is another one now" if method == "lora" else "its files have changed since"
    for folder in folders:
        code, said = scored(folder)
        assert code == 2 and what in said.err and not said.out
    assert export.main(["merge", str(folders[0]), str(tmp_path / "merged")]) == 2
    assert what in capsys.readouterr().err and not (tmp_path / "merged").exists()
    if method == "lora":
        began = train(tmp_path / "second", bench.options(model=str(base), init_from=str(first)), 1, quick_end)
        again = train(run, options, 1, quick_end, ("--resume", str(first)))
        for world in (began, again):
            assert world.codes == [2] and what in world.result["reason"]
        forced = train(run, options, 1, quick_end, ("--resume", str(first), "--force"))
        assert forced.codes == [0] and any(what in one.data["text"] for one in forced.of("warning"))
