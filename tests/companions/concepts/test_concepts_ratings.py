"""ScaleAI's tasks.json: ratings of images by hand, and tasks as annotators leave them."""

import json

import pytest

from companions.concepts.published_files import read_split, write_split
from companions.concepts.ratings import read_ratings
from utils import PROJECT, UserError

SAMPLE = PROJECT.parent / "shared/sa3/tasks_sample.json"
HYDRANT = "COCO_val2014_000000415408"


def task(number, rating, kind="object", content="street", **further):
    annotations = {
        "Content Type Identification": kind,
        "Content Description": content,
        "Relevance Rating": rating,
    }
    return {
        "task_id": str(number),
        "status": "completed",
        "metadata": {"filename": f"p1_street_{number % 2}__caption_{number}_attr_result.jpg"},
        "response": {"annotations": annotations},
        **further,
    }


TASKS = [
    task(0, "4.4"),
    task(2, "4", "relationship", "(on,the,sidewalk)"),
    task(4, "1", "attribute", "white"),
    task(1, "2", "relationship", "(man,holding,phone)"),
    task(3, "", "object"),
    task(5, "7", "object"),
    task(7, "5", status="pending"),
    task(9, "3", ""),
    task(9, "5"),
    task(11, "5", metadata={}),
    task(13, "5", response=None),
    17,
]


@pytest.fixture
def tasks(tmp_path):
    """A tasks.json with every oddity."""
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(TASKS))
    return path


def test_values_by_hand(tasks):
    values = read_ratings(tasks).values
    assert values == pytest.approx({"street_0": 9.4 / 15, "street_1": 5 / 10})


def test_what_is_left_out_is_named(tasks):
    assert {entry.task: entry.why for entry in read_ratings(tasks).left_out} == {
        "3": "Relevance Rating '' is no number",
        "5": "Relevance Rating '7' is not from 1 to 5",
        "7": "status 'pending', not completed",
        "9": "the same task_id again",
        "11": "no metadata.filename",
        "13": "no response.annotations",
        "task 11": "no object",
    }


def test_what_is_odd_counts_and_is_named(tasks):
    assert [(entry.task, entry.why) for entry in read_ratings(tasks).odd] == [
        ("0", "Relevance Rating: not a whole number"),
        ("2", "Content Description: not the form of kind relationship"),
        ("4", "Content Description: not the form of kind attribute"),
        ("9", "Content Type Identification: empty"),
    ]


@pytest.mark.parametrize(
    "text, problem",
    [
        ('[{"task_id": ', "line 1, column 14"),
        ("{}", "not a list of tasks"),
        ("[]", "no rating can be used; the first task: no task in it"),
        (json.dumps(TASKS[4:5]), "Relevance Rating '' is no number"),
    ],
)
def test_a_damaged_file_is_named_with_its_place(tmp_path, text, problem):
    (tmp_path / "tasks.json").write_text(text)
    with pytest.raises(UserError, match="tasks.json: ") as error:
        read_ratings(tmp_path / "tasks.json")
    assert problem in str(error.value)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the published tasks are not beside the project")
def test_the_published_tasks():
    ratings = read_ratings(SAMPLE)
    assert ratings.left_out == []
    assert sum(map(len, ratings.by_image.values())) == 24
    assert ratings.values[HYDRANT] == pytest.approx((4 + 5 + 4) / 15)
    assert len(ratings.by_kind["unknown"]) == 1
    forms = [entry for entry in ratings.odd if "not the form" in entry.why]
    assert len(forms) == 3  # (on,the,sidewalk), (on,the side,of), and the attribute "white"


# ---------------------------------------------------------------- the command


def test_hard_images_leave_the_split(tasks, tmp_path, run, capsys):
    split = tmp_path / "val_sub_names.npy"
    kept = tmp_path / "new/val_sub_opt_names.npy"
    write_split(split, [("street_0", "1"), ("street_1", "1"), ("street_9", "4")])
    words = ("--tasks", tasks, "--hard", 0.6, "--split", split, "--kept", kept)
    assert run("ratings", *words, "--results", tmp_path / "out") == 0
    assert read_split(kept) == [("street_0", "1"), ("street_9", "4")]
    err = capsys.readouterr().err
    assert "2 of 3 pairs kept" in err
    assert "1 have no rating and were kept" in err
    report = json.loads((tmp_path / "out/ratings.json").read_text())
    assert [entry["image"] for entry in report["images"] if entry["hard"]] == ["street_1"]


def test_a_split_needs_a_place_for_what_is_kept(tasks, tmp_path, run, only_line):
    split = tmp_path / "val_sub_names.npy"
    assert run("ratings", "--tasks", tasks, "--split", split, "--results", tmp_path) == 2
    assert "--kept" in only_line()


def test_a_split_is_not_overwritten(tasks, tmp_path, run, only_line):
    split = tmp_path / "val_sub_names.npy"
    write_split(split, [("street_1", "1")])
    words = ("--tasks", tasks, "--hard", 1, "--split", split, "--kept", split)
    assert run("ratings", *words, "--results", tmp_path) == 2
    assert "which would be lost" in only_line()
    assert read_split(split) == [("street_1", "1")]
