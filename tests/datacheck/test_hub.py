"""Data sets on the hub as data paths: what is read, refused and recorded, and what is there without a network."""

import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from fake_hub import FakeHub
from layout_cases import records
from support import make_workspace

from rmtui.i18n import translate
from rmtui.operations.check import check
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from trainer import hub, pairs

if find_spec("datasets") is None:
    pytest.skip("datasets is not installed", allow_module_level=True)
pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

TEXTS = [(f"What is {number} and one?", f"It makes {number + 1}.", f"Some {number}.") for number in range(20)]
CARD = "---\nconfigs:\n" + "".join(
    f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.jsonl\n" for name in ("en", "zh")
)


def as_parquet(rows):
    made = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), made)
    return made.getvalue()


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def repositories():
    shp, plain = records("SHP", TEXTS), records("pairs", TEXTS)
    return {
        "org/ranked": {
            "data/train-00000-of-00002.parquet": as_parquet(shp[:9]),
            "data/train-00001-of-00002.parquet": as_parquet(shp[9:14]),
            "data/test-00000-of-00001.parquet": as_parquet(shp[14:]),
        },
        "org/two": {"README.md": f"{CARD}---\n".encode(), "en.jsonl": as_lines(plain), "zh.jsonl": as_lines(plain[:5])},
    }


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub that this process and its children ask, with an empty cache; nothing is remembered of other tests."""
    hub.forget()
    with FakeHub(repositories(), gated=("org/secret",)).serve() as made:
        for name, value in made.environment(tmp_path / "cache").items():
            monkeypatch.setenv(name, value)
        yield made


def rows_of(path):
    return [(row.prompt[-1]["content"], row.chosen[0]["content"]) for row in pairs.read_rows(path)]


def test_a_split_is_read_as_its_files_are(served):
    held = [(question, good) for question, good, _ in TEXTS]
    train, test = (check([f"hf:org/ranked@{split}"], look_for_near=False).files[0] for split in ("train", "test"))
    assert (train.good, test.good, train.reading.name) == (14, 6, "SHP")
    assert rows_of("hf:org/ranked@train") == held[:14] and rows_of("hf:org/ranked@test") == held[14:]
    assert served.commit("org/ranked")[:12] in train.reading.describe()
    code = (
        "import sys; from rmtui.operations.check import check; print(check(['hf:org/ranked@test']).files[0].good); "
        "print([name for name in ('datasets', 'pyarrow', 'pandas', 'numpy', 'httpx') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "6\n[]\n"


REFUSED = {
    "hf:org/ranked": ("hub_splits", "train, test"),
    "hf:org/ranked@dev": ("hub_no_split", "train, test"),
    "hf:org/ranked@train[:3]": ("hub_no_split", "train, test"),
    "hf:org/two": ("hub_configs", "en, zh"),
    "hf:org/two:fr@train": ("hub_no_config", "en, zh"),
    "hf:org/secret": ("hub_gated", "org/secret"),
    "hf:org/nothing": ("hub_unknown", "org/nothing"),
}


def test_what_cannot_be_read_says_why_and_names_what_there_is(served):
    names = [hub.parse(path) for path in REFUSED]
    asked = [[name.repo, name.config, name.split, name.revision] for name in names]
    code = "import json, sys; from trainer.data.hub_files import main; [main(*one) for one in json.loads(sys.argv[1])]"
    done = subprocess.run([sys.executable, "-c", code, json.dumps(asked)], capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["case"] for answer in answers] == [case for case, _ in REFUSED.values()]
    for answer, (case, there) in zip(answers, REFUSED.values(), strict=True):
        assert there in translate(f"check.{case}", "en", **answer["about"])
        assert there in translate(f"check.{case}", "zh", **answer["about"])


def test_a_check_of_what_cannot_be_read_counts_nothing(served):
    reports = check(["hf:org/two@train", "hf:one/too/many"], look_for_near=False).files
    assert [(report.good, report.lines, report.errors) for report in reports] == [(0, 0, 1)] * 2
    several, unnamed = (report.findings[0].render("en") for report in reports)
    assert "en, zh" in several and "hf:org/name:config@split" in unnamed


def test_the_library_that_is_missing_is_named(monkeypatch):
    lacking = "import sys; sys.modules['datasets'] = None; from trainer.data.hub_files import main; "
    lacking += "sys.exit(main(*sys.argv[1:]))"
    monkeypatch.setattr(hub, "COMMAND", (sys.executable, "-c", lacking))
    hub.forget()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (found,) = check(["hf:org/ranked@train"], look_for_near=False).files[0].findings
    assert "'.[hub]'" in found.render("en") and "'.[hub]'" in found.render("zh")


@pytest.mark.slow
def test_a_launch_records_the_revision_that_later_ones_and_a_lost_network_do_not_change(served, tmp_path, monkeypatch):
    ws = make_workspace(tmp_path / "ws")
    request = LaunchRequest("A", train="hf:org/ranked@train", val="hf:org/ranked@test")
    form = plan(ws, request, check_data=False)
    assert not served.asked and "hub" in next(one.what for one in form.problems if one.key == "data.train")
    data = plan(ws, request).spec["config"]["data"]
    old = served.commit("org/ranked")
    assert data["train"] == f"hf:org/ranked@train#revision={old}" and data["val"].endswith(f"@test#revision={old}")
    assert plan(ws, request, check_data=False).derived.train_pairs == 14
    before = pairs.fingerprint(data["train"])
    served.repos["org/ranked"]["data/train-00001-of-00002.parquet"] = as_parquet(records("SHP", TEXTS[:2]))
    hub.forget()
    changed = plan(ws, request).spec["config"]["data"]
    assert pairs.fingerprint(changed["train"]) != before
    assert pairs.fingerprint(data["train"]) == before
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.forget()
    served.asked.clear()
    assert pairs.fingerprint(data["train"]) == before
    assert check(["hf:org/ranked@train"], look_for_near=False).files[0].good == 11
    unknown = check([f"hf:org/ranked@train#revision={'0' * 40}", "hf:org/two:en"], look_for_near=False)
    assert [one.findings[0].figures.keys() & {"held", "repo"} for one in unknown.files] == [{"held"}, {"repo"}]
    assert not served.asked


def test_a_hub_that_is_not_there_is_noticed_at_once(tmp_path):
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "rmtui", "check", "hf:org/ranked@train"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "the hub cannot be reached" in done.stdout


@pytest.mark.slow
def test_sources_of_a_mixture_may_be_there_too(served, tmp_path):
    ws = make_workspace(tmp_path / "ws")
    sources = "hf:org/ranked@train;weight=2, hf:org/two:en;limit=4"
    request = LaunchRequest("A", {"data.source": sources}, val="hf:org/ranked@test", extra_val={"zh": "hf:org/two:zh"})
    made = plan(ws, request)
    commits = {name: served.commit(f"org/{name}") for name in ("ranked", "two")}
    assert made.spec["config"]["data"]["source"] == [
        f"hf:org/ranked@train#revision={commits['ranked']};weight=2",
        f"hf:org/two:en@train#revision={commits['two']};limit=4",
    ]
    assert made.spec["config"]["data"]["extra_val"]["zh"].startswith("hf:org/two:zh@train#")
    assert made.derived.train_pairs == 2 * 14 + 4 and made.spec["data"] == "ranked+two"
    wrong = plan(ws, LaunchRequest("A", {"data.source": "hf:org/two"}, val="hf:org/ranked@test"))
    assert [one.key for one in wrong.errors if one.key.startswith("data")] == ["data.source"]
    assert "en, zh" in next(one.what for one in wrong.errors if one.key == "data.source")
