"""The demo's texts: distinct, readable, nothing of validation in training, labels not to be had from lengths."""

import pytest

from rmtui.demo import make_pairs
from rmtui.errors import UserError
from rmtui.launch import gpus
from rmtui.operations import check, demo
from rmtui.runs.folder import RunFolder


@pytest.fixture(scope="module")
def rows():
    train, val = make_pairs.topics()
    return {"train": make_pairs.make(train, "train"), "val": make_pairs.make(val, "val")}


@pytest.mark.parametrize("name", ["train", "val"])
def test_every_pair_is_its_own(rows, name):
    said = {(row["prompt"], row["chosen"], row["rejected"]) for row in rows[name]}
    assert len(said) == len(rows[name]) >= 200
    assert len({row["id"] for row in rows[name]}) == len(rows[name])


def test_validation_asks_other_questions_about_other_things(rows):
    assert not {row["prompt"] for row in rows["train"]} & {row["prompt"] for row in rows["val"]}
    train, val = make_pairs.topics()
    assert not {topic.thing for topic in train} & {topic.thing for topic in val}


@pytest.mark.parametrize("name", ["train", "val"])
def test_length_tells_nothing(rows, name):
    longer = sum(len(row["chosen"]) > len(row["rejected"]) for row in rows[name]) / len(rows[name])
    assert 0.42 < longer < 0.58


@pytest.mark.parametrize("name", ["train", "val"])
def test_texts_are_sentences(rows, name):
    for row in rows[name]:
        for text in (row["prompt"], row["chosen"], row["rejected"]):
            assert text[0].isupper(), text
            assert text[-1] in ".!?", text
            assert "{" not in text
            assert "  " not in text
            assert len(text) < 240


def test_every_flaw_is_in_validation(rows):
    flaws = [row["flaw"] for row in rows["val"]]
    assert {flaw: flaws.count(flaw) >= 15 for flaw in {*make_pairs.FLAWS, make_pairs.ELSEWHERE}} == dict.fromkeys(
        {*make_pairs.FLAWS, make_pairs.ELSEWHERE}, True
    )


def test_the_same_pairs_every_time(tmp_path):
    first = [path.read_bytes() for path in make_pairs.write(tmp_path / "one")]
    assert [path.read_bytes() for path in make_pairs.write(tmp_path / "two")] == first


def test_the_data_check_finds_nothing(tmp_path):
    report = check.check(make_pairs.write(tmp_path))
    assert [finding for file in report.files for finding in file.findings] == []


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError) as error:
        demo.demo(tmp_path, print)
    assert "rmtui demo DIR" in error.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_the_training_stack_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "STACK", ("torch_that_is_not_there",))
    with pytest.raises(UserError) as error:
        demo.demo(tmp_path / "new", print)
    assert "torch_that_is_not_there" in error.value.why
    assert "pip install -c constraints.txt '.[train]'" in error.value.remedy
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("uuids", "processes", "place"),
    [
        ((), 2, "2 CPU processes"),
        (("GPU-a",), 1, "1 GPU"),
        (("GPU-a", "GPU-b", "GPU-c"), 3, "3 GPUs"),
        (("MIG-a", "MIG-b"), 1, "1 GPU"),
    ],
)
def test_a_process_on_each_gpu_and_two_without_one(tmp_path, monkeypatch, uuids, processes, place):
    monkeypatch.setattr(gpus, "gpus", lambda: [gpus.Gpu(str(number), uuid) for number, uuid in enumerate(uuids)])
    monkeypatch.setattr(demo, "_make_model", lambda ws, texts: None)
    plans = []

    def start(ws, plan):
        plans.append(plan)
        run = RunFolder(ws.runs / "20260101-000000-aaaa")
        run.path.mkdir(parents=True)
        table = plan.spec["launch"]
        text = f"[launch]\nprocesses = {table['processes']}\ndevice = '{table['device']}'\n"
        (run.path / "spec.toml").write_text(text)
        return run.id

    monkeypatch.setattr(demo.launch, "start", start)
    made = demo.demo(tmp_path / "rm", lambda line: None)
    assert made.place == place
    (plan,) = plans
    assert plan.spec["launch"]["processes"] == processes
    assert not [problem for problem in plan.problems if problem.key == "processes" and problem.severity == "error"]


def test_a_demo_folder_of_an_earlier_version_is_taken(tmp_path):
    """Its settings named the processes."""
    (tmp_path / "workspace.toml").write_text(f'{demo.MARK}model = "models/demo"\ndata = "demo"\nprocesses = 2\n')
    demo.refuse_foreign(tmp_path)
