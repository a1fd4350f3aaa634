"""`python -m trainer.data.hub_files REPO CONFIG SPLIT REVISION`: bring one split of a data set on the hub into the
cache of `datasets`, and print where its Arrow files are as JSON, or why there are none. `datasets` is imported by this
process alone.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

COMMIT = 40
"""Digits of a commit's name."""
WAIT = 5.0
"""Seconds for which the hub's machine may let a connection wait."""


class FilesFound(TypedDict):
    """The answer: what was meant, and where it is."""

    config: str
    split: str
    revision: str
    files: list[str]


class _Refused(Exception):
    """A reason that a person can do something about: its case and what it is made of."""

    def __init__(self, case: str, what: str, **about: str) -> None:
        super().__init__(what)
        self.case = case
        self.about = about


def main(repo: str, config: str, split: str, revision: str) -> int:
    """Print the answer; 1 where it is a refusal."""
    try:
        print(json.dumps(_find(repo, config, split, revision)))
    except _Refused as refused:
        print(json.dumps({"case": refused.case, "what": str(refused), "about": refused.about}))
        return 1
    return 0


def _find(repo: str, config: str, split: str, revision: str) -> FilesFound:
    if not _is_reached(os.environ.get("HF_ENDPOINT") or "https://huggingface.co"):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when datasets is imported: it would try for half a minute
    try:
        import datasets
    except ImportError:
        raise _Refused("needs_datasets", "reading from the hub needs datasets, which is not installed") from None
    try:
        builder = _builder(datasets, repo, config, revision)
        if len(revision) == COMMIT and builder.hash != revision:
            builder = _cached(builder, repo, revision)
        chosen = _split(_splits(builder), split)
        builder.download_and_prepare()
        found = builder.as_dataset(split=chosen or _split(list(builder.info.splits or ()), split))
    except _Refused:
        raise
    except Exception as error:  # of datasets, huggingface_hub, httpx, pyarrow: each has its own
        raise _reason(datasets, f"{repo}:{config}" if config else repo, error) from error
    return {
        "config": builder.config.name if config or builder.config.name != "default" else "",
        "split": str(found.split),
        "revision": builder.hash or "",
        "files": [file["filename"] for file in found.cache_files],
    }


def _is_reached(endpoint: str) -> bool:
    """Whether the hub's machine takes connections; behind a proxy nobody knows before the first request."""
    url = urlsplit(endpoint)
    if urllib.request.getproxies().get(url.scheme) or not url.hostname:
        return True
    try:
        socket.create_connection((url.hostname, url.port or (443 if url.scheme == "https" else 80)), WAIT).close()
    except OSError:
        return False
    return True


def _builder(datasets: Any, repo: str, config: str, revision: str) -> Any:
    try:
        return datasets.load_dataset_builder(repo, config or None, revision=revision or None)
    except ValueError as error:
        names = _configs(datasets, repo, revision, str(error))
        if not names or (len(names) == 1 and config in ("", *names)):
            raise
        what = f"it has no configuration {config!r}" if config else "it has several configurations"
        case = "hub_no_config" if config else "hub_configs"
        raise _Refused(case, f"{what}: {', '.join(names)}", config=config, names=", ".join(names)) from error


def _configs(datasets: Any, repo: str, revision: str, why: str) -> list[str]:
    """The configurations of a data set; without a network, those of the cache, as the error names them."""
    if datasets.config.HF_HUB_OFFLINE:
        several = re.search(r"configurations in the cache: ([^\n]+)", why)
        return several[1].split(", ") if several else []
    try:
        return sorted(datasets.get_dataset_config_names(repo, revision=revision or None))
    except Exception:  # the first error says more
        return []


def _cached(newest: Any, repo: str, revision: str) -> Any:
    """An older revision in the cache, where datasets without a network takes the newest."""
    version = Path(newest.cache_dir).parent
    found = next(version.parent.glob(f"*/{revision}"), None)
    if found is None:
        what = f"the hub is not reached, and the cache holds another revision of it, {newest.hash}"
        raise _Refused("hub_revision", what, held=newest.hash)
    name = newest.dataset_name
    return type(newest)(
        repo_id=repo, dataset_name=name, config_name=newest.config.name, version=found.parent.name, hash=revision
    )


def _splits(builder: Any) -> list[str]:
    """Names of the splits, as far as they are known before anything is fetched."""
    return list(builder.info.splits or getattr(builder.config, "data_files", None) or ())


def _split(names: Sequence[str], wanted: str) -> str:
    """The split to read; empty while no names are known."""
    if not names or wanted in names:
        return wanted if names else ""
    if not wanted and len(names) == 1:
        return names[0]
    what = f"it has no split {wanted!r}" if wanted else "it has several splits"
    case = "hub_no_split" if wanted else "hub_splits"
    raise _Refused(case, f"{what}: {', '.join(names)}", split=wanted, names=", ".join(names))


def _reason(datasets: Any, repo: str, error: Exception) -> _Refused:
    """The error in our words, where it is a known one."""
    text = " ".join(str(error).split()) or type(error).__name__
    if "gated" in text:
        return _Refused("hub_gated", f"{repo} is gated: ask for access on its page, then hf auth login", repo=repo)
    if "Revision" in text and isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return _Refused("hub_no_revision", f"{repo} has no such revision on the hub", repo=repo)
    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return _Refused("hub_unknown", f"there is no data set {repo} on the hub, or it is private", repo=repo)
    if isinstance(error, ConnectionError) or "Couldn't find cache" in text:
        return _Refused("hub_offline", f"the hub is not reached, and {repo} is not in the cache", repo=repo)
    return _Refused("hub_failed", f"reading it failed: {text[:400]}", error=text[:400])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
