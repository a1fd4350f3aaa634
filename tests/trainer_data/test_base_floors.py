"""What a frozen base knows of pairs, held against plain transformers one text at a time, and scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from data_worlds import sentences
from scipy import optimize
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from trainer.__main__ import main
from trainer.release.probe_fit import PENALTIES, choose_penalty, fit


def write(path, count, start=0):
    texts = sentences(4 * count + start)[start:]
    rows = [
        {
            "id": f"p{start}-{n}",
            "prompt": f"Ask {n} {texts[4 * n]}?",
            "chosen": f" {texts[4 * n + 1]}",
            "rejected": f" {texts[4 * n + 2]}.",
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def measured(capsys, model, folder, *more):
    train, val = write(folder / "t.jsonl", 24), write(folder / "v.jsonl", 9, 100)
    assert (
        main(["base-floors", str(model), str(folder / "t.jsonl"), str(folder / "v.jsonl"), "--batch-size", "4", *more])
        == 0
    )
    return json.loads(capsys.readouterr().out), train, val


def test_log_probabilities_are_those_of_plain_transformers(models, tmp_path, capsys):
    found, _, val = measured(capsys, models / "decoder", tmp_path)
    model, tokenizer = (kind.from_pretrained(models / "decoder") for kind in (AutoModelForCausalLM, AutoTokenizer))

    def mean(row, side):
        ids = tokenizer(row["prompt"] + row[side] + tokenizer.eos_token, return_tensors="pt").input_ids
        labels, prompt = ids.clone(), tokenizer(row["prompt"], return_tensors="pt").input_ids
        assert ids[0, : prompt.shape[1]].tolist() == prompt[0].tolist()
        labels[0, : prompt.shape[1]] = -100
        with torch.no_grad():
            return -model.float().eval()(input_ids=ids, labels=labels).loss.item()

    theirs = [mean(row, "chosen") - mean(row, "rejected") for row in val]
    assert found["ids"] == [row["id"] for row in val] and not found["why_none"]
    assert found["log_probability"] == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_probe_is_logistic_regression_on_plain_transformers_states(models, tmp_path, capsys, kind):
    found, train, val = measured(capsys, models / kind, tmp_path)
    model, tokenizer = (kind_.from_pretrained(models / kind) for kind_ in (AutoModel, AutoTokenizer))

    def state(row, side):
        ids = tokenizer(row["prompt"] + row[side] + (tokenizer.eos_token or ""), return_tensors="pt").input_ids
        with torch.no_grad():
            hidden = model.float().eval()(input_ids=ids).last_hidden_state[0].double().numpy()
        return hidden[-1] if kind == "decoder" else hidden.mean(0)

    x, held = (np.array([state(row, "chosen") - state(row, "rejected") for row in rows]) for rows in (train, val))
    scale = np.sqrt((x**2).mean(0))
    loss = lambda w: np.logaddexp(0, -(x / scale) @ w).mean() + found["penalty"] / 2 * w @ w  # noqa: E731
    best = optimize.minimize(loss, np.zeros(x.shape[1]), tol=1e-10).x
    assert found["probe"] == pytest.approx(list((held / scale) @ best), abs=2e-3)


def test_an_encoder_has_no_log_probability_and_says_so(models, tmp_path, capsys):
    found, *_ = measured(capsys, models / "encoder", tmp_path)
    assert found["log_probability"] is None and "no causal language model" in found["why_none"]


def test_the_penalty_is_that_of_the_lowest_held_out_loss():
    torch.manual_seed(0)
    noise = torch.randn(60, 40, dtype=torch.float64)
    assert choose_penalty(noise, [str(n) for n in range(60)]) == PENALTIES[-1]
    signal = torch.cat([noise[:, :3] * 0.1 + 2, noise[:, 3:5]], 1)
    assert choose_penalty(signal, [str(n) for n in range(60)]) < PENALTIES[-1]
    assert choose_penalty(noise, ["one"] * 60) == PENALTIES[-1]
    assert (signal @ fit(signal, 1e-3) > 0).all()


def test_texts_beyond_the_models_positions_are_refused(models, tmp_path, capsys):
    write(tmp_path / "t.jsonl", 12)
    (tmp_path / "v.jsonl").write_text(json.dumps({"prompt": "x", "chosen": "a b " * 4000, "rejected": "c"}) + "\n")
    argv = ["base-floors", str(models / "encoder"), str(tmp_path / "t.jsonl"), str(tmp_path / "v.jsonl")]
    assert main([*argv, "--max-length", "4000"]) == 2
    assert "positions" in capsys.readouterr().err
