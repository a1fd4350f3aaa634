"""A few-layer model and a few pairs, made once; every training of these tests is real and takes under a second."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

pytest.importorskip("torch")

from engine_worlds import Bench, make_bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))
