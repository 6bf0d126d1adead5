"""deviation.json: typed, validated when it is read, with the field names of format 1."""

import json

import pytest

from companions.score_deviation.record import (
    decode_deviation,
    read_deviation,
    write_deviation,
)

TOP = {
    "format",
    "image",
    "image_sha256",
    "size",
    "model",
    "segmentation",
    "asked",
    "category",
    "probability",
    "predicted",
    "true",
    "fill",
    "regions",
    "labels",
    "evaluations",
    "seconds",
    "settings",
    "versions",
}


@pytest.fixture
def content(lamp_set):
    """The JSON of a record, as plain values."""
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    return json.loads((lamp_set.path / "out/one/deviation.json").read_text())


def decoded(content):
    """Return the record in plain values."""
    return decode_deviation(json.dumps(content).encode())


def test_fields_on_disk_keep_their_names(content):
    assert set(content) == TOP
    assert set(content["asked"]) == {"category", "fill", "seed", "true"}
    assert set(content["regions"]) == {"names", "labels", "areas", "map"}
    assert set(content["labels"][0]) == {
        "label",
        "name",
        "area",
        "deviation",
        "probability",
        "true_deviation",
        "top",
        "predicted_deviation",
    }


def test_a_written_record_is_read_back(content, tmp_path):
    record = decoded(content)
    write_deviation(tmp_path / "again.json", record)
    assert read_deviation(tmp_path / "again.json") == record


def test_a_record_with_nan_is_not_written(content, tmp_path):
    record = decoded(content)
    record.labels[0].deviation = float("nan")
    with pytest.raises(ValueError, match="deviation"):
        write_deviation(tmp_path / "again.json", record)
    assert not (tmp_path / "again.json").exists()


@pytest.mark.parametrize(
    "damage, words",
    [
        ({"format": 2}, "format"),
        ({"labels": []}, "labels"),
        ({"labels": [{}]}, r"labels\[0\]"),
        ({"probability": 2}, "probability"),
        ({"category": {"index": -1, "name": "a"}}, "category"),
        ({"fill": None}, "fill"),
    ],
)
def test_a_damaged_record_is_one_line_that_names_the_field(content, damage, words):
    with pytest.raises(ValueError, match=words) as error:
        decoded({**content, **damage})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "no JSON"])
def test_a_file_that_is_no_record_counts_as_absent(tmp_path, text):
    (tmp_path / "deviation.json").write_text(text)
    assert read_deviation(tmp_path / "deviation.json") is None
    assert read_deviation(tmp_path / "absent.json") is None


def test_a_record_answers_the_question_it_was_made_for(content):
    record = decoded(content)
    assert record.question == decoded(content).question
    other = {**content, "asked": {**content["asked"], "seed": 1}}
    assert decoded(other).question != record.question
