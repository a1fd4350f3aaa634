"""Where a saved model comes from: its training's configuration, data fingerprints and metrics, as far as known."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli

from trainer import config as options
from trainer import manifest
from trainer.config import TrainConfig
from trainer.init_from import TRAINING
from trainer.intervals import effective_pairs


@dataclass(frozen=True, slots=True)
class Origin:
    """Facts about the training behind a folder; all of them may be missing."""

    config: TrainConfig | None = None
    run: str = ""
    name: str = ""
    step: int | None = None
    epoch: float | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    """train, val → SHA-256 of the pairs."""
    correct: int | None = None
    pairs: int | None = None
    loss: float | None = None
    clusters: int | None = None
    """Clusters of the validation pairs, and how many independent pairs they amount to (`trainer.intervals`)."""
    effective: float | None = None
    paths: tuple[str, ...] | None = None
    """Fast paths that the training kept (`trainer.model.fast_paths`)."""

    def write(self, folder: Path) -> None:
        """Leave the facts in `folder`, for scoring and for the next merge."""
        document = {
            "run": self.run,
            "name": self.name,
            "step": self.step,
            "epoch": self.epoch,
            "fingerprints": self.fingerprints,
            "validation": {
                "correct": self.correct,
                "pairs": self.pairs,
                "loss": self.loss,
                "clusters": self.clusters,
                "effective": self.effective,
            },
            "config": options.to_document(self.config) if self.config else None,
        }
        (folder / TRAINING).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def find_origin(folder: Path) -> Origin:
    """Facts from a merged folder's own file, or from the run around a checkpoint or model/."""
    if (folder / TRAINING).is_file():
        return _from_file(json.loads((folder / TRAINING).read_bytes()))
    run = manifest.run_around(folder)
    return _from_run(run, folder) if run else Origin()


def _from_file(document: dict[str, Any]) -> Origin:
    held = document["validation"]
    return Origin(
        config=options.build(options.recorded(document["config"])) if document["config"] else None,
        run=document["run"],
        name=document["name"],
        step=document["step"],
        epoch=document["epoch"],
        fingerprints=document["fingerprints"],
        correct=held["correct"],
        pairs=held["pairs"],
        loss=held["loss"],
        clusters=held.get("clusters"),
        effective=held.get("effective"),
    )


def _from_run(run: Path, folder: Path) -> Origin:
    document = tomli.loads((run / "spec.toml").read_text("utf-8"))
    best = manifest.best(run)
    sealed = manifest.read(folder) or (manifest.read(best.folder) if best else None)
    records = _records(run, sealed)
    gaps = [record["chosen"] - record["rejected"] for record in records]
    names = [str(record.get("cluster") or "") for record in records]
    clusters = effective_pairs([gap > 0 for gap in gaps], names) if names and all(names) else None
    config = options.build(document.get("config", document))
    if sealed is not None:  # `auto` is what it became where it trained
        held = options.recorded(sealed.facts.get("config", {}))
        kept = {key: str(held.get(key, getattr(config, key))) for key in ("mixed_precision", *options.LATER)}
        config = replace(config, **kept)  # type: ignore[arg-type]
    return Origin(
        config=config,
        run=str(document.get("id", run.name)),
        name=str(document.get("name", "")),
        step=sealed.step if sealed else None,
        epoch=sealed.epoch if sealed else None,
        fingerprints={key: str(value) for key, value in document.get("fingerprints", {}).items()},
        correct=sum(gap > 0 for gap in gaps) if gaps else None,
        pairs=len(gaps) or None,
        loss=mean_loss(gaps) if gaps else None,
        clusters=clusters.clusters if clusters else None,
        effective=clusters.effective if clusters else None,
        paths=tuple(sealed.facts["paths"]) if sealed and "paths" in sealed.facts else None,
    )


def _records(run: Path, sealed: manifest.Checkpoint | None) -> list[dict[str, Any]]:
    """The validation records of the evaluation at a checkpoint's step."""
    if sealed is None:
        return []
    places = [f"step-{sealed.step:06d}.jsonl"]
    if float(sealed.epoch).is_integer():
        places.append(f"epoch-{int(sealed.epoch)}.jsonl")
    found = next((run / "validation" / place for place in places if (run / "validation" / place).is_file()), None)
    return [json.loads(line) for line in found.read_text("utf-8").splitlines()] if found else []


def mean_loss(gaps: list[float]) -> float:
    """Mean of −log σ(gap)."""
    return sum(max(-gap, 0.0) + math.log1p(math.exp(-abs(gap))) for gap in gaps) / len(gaps)
