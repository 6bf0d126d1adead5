"""insecurities.json: typed, validated when it is read, with the field names of format 1."""

import json

import pytest

from companions.deliberative.record import (
    decode_insecurities,
    read_insecurities,
    write_insecurities,
)

FIELDS = {
    "format",
    "image",
    "image_sha256",
    "size",
    "model",
    "difficulty",
    "settings",
    "classes",
    "s",
    "insecurities",
    "seconds",
    "versions",
}


@pytest.fixture
def content(two_scenes):
    """The JSON of a record, as plain values."""
    two_scenes(images=two_scenes.images / "a.png")
    return json.loads(two_scenes.file("a").read_text())


def decoded(content):
    """Return the record in plain values."""
    return decode_insecurities(json.dumps(content).encode())


def test_fields_on_disk_keep_their_names(content):
    assert set(content) == FIELDS
    assert set(content["classes"][0]) == {"index", "name", "probability"}
    first = content["insecurities"][0]
    assert set(first) == {
        "classes",
        "strength",
        "score",
        "share",
        "map",
        "before",
        "without",
        "moved",
    }
    assert set(first["classes"][0]) == {"index", "name"}
    assert set(first["before"]) == {"p_a", "p_b", "s"}


def test_a_written_record_is_read_back(content, tmp_path):
    record = decoded(content)
    write_insecurities(tmp_path / "again.json", record)
    assert read_insecurities(tmp_path / "again.json") == record


def test_a_record_with_nan_is_not_written(content, tmp_path):
    record = decoded(content)
    record.insecurities[0].strength = float("nan")
    with pytest.raises(ValueError, match="strength"):
        write_insecurities(tmp_path / "again.json", record)
    assert not (tmp_path / "again.json").exists()


@pytest.mark.parametrize(
    "damage, words",
    [
        ({"format": 2}, "format"),
        ({"classes": []}, "classes"),
        ({"insecurities": [{}]}, r"insecurities\[0\]"),
        ({"s": None}, r"\$\.s"),
    ],
)
def test_a_damaged_record_is_one_line_that_names_the_field(content, damage, words):
    with pytest.raises(ValueError, match=words) as error:
        decoded({**content, **damage})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "no JSON"])
def test_a_file_that_is_no_record_counts_as_absent(tmp_path, text):
    (tmp_path / "insecurities.json").write_text(text)
    assert read_insecurities(tmp_path / "insecurities.json") is None
    assert read_insecurities(tmp_path / "absent.json") is None


@pytest.mark.parametrize(
    "name, agrees",
    [
        ("device", True),
        ("batch_size", True),
        ("results", True),
        ("overwrite", True),
        ("share", False),
        ("attribution", False),
        ("seed", False),
    ],
)
def test_settings_that_change_no_result_may_differ(content, name, agrees):
    record = decoded(content)
    other = decoded({**content, "settings": {**content["settings"], name: "other"}})
    assert record.question.agrees_with(other.question) == agrees
