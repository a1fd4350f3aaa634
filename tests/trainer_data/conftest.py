import data_worlds
import pytest
import torch


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with `decoder`, `encoder` and `pad_is_end`."""
    torch.set_num_threads(1)
    return data_worlds.make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RMTUI_TOKEN_CACHE", str(tmp_path / "token-cache"))
