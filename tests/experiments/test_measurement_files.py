"""Files of measurements: those of earlier versions are read, damaged ones refused."""

import json

import pytest

from experiments.findings import decode_measurement, encode_measurement
from experiments.measurements import CHOICES, MainJobSettings
from main_generate_sag import Settings

ROOTS = {
    "roots": [{"patches": [5], "probability": 0.95, "minimal": "subset"}],
    "stopped_by": "exhausted",
    "diverse": {"0": 1, "1": 1, "2": 1},
    "diverse_proven": {"0": True, "1": True, "2": True},
}
SEARCH = {
    **ROOTS,
    "evaluations": {"asked": 20, "scored": 10},
    "seconds": {"mask": 0.1, "search": 0.2},
}
MAIN_JOB = {
    "category": {"index": 1, "name": "one"},
    "probability": 0.95,
    "baseline": {"name": "black", "probability": 0.02},
    "grid": [4, 4],
    "saliency": [1.0] * 16,
    "gradcam": None,
    "diverse_roots": [0],
    "diverse_set": [0],
    "sag": {
        "nodes": [
            {"patches": [5], "probability": 0.95, "relative": 1.0},
            {"patches": [], "probability": 0.02, "relative": 0.02},
        ],
        "edges": [[0, 1, 5]],
        "complete": True,
        "stopped_by": None,
    },
    "curves": None,
    "evaluations": {
        "asked": 20,
        "scored": 10,
        "scored_again": 0,
        "scored_for_curves": 0,
        "precision": "float32",
        "doubted": 0,
        "disagreed": 0,
    },
    **ROOTS,
    "questions": [{"a": [1], "b": [5], "relative": [0.02, 1.0]}],
    "seconds": {"mask": 0.1, "search": 0.2, "tree": 0.1, "curves": 0.1, "questions": 0.1},
}
CHOICES_FOUND = {"as it is": {**ROOTS, "evaluations": {"scored": 10}}}
FINDINGS = {"beam3": MAIN_JOB, "sis": SEARCH, "choices": CHOICES_FOUND}


def measurement_file(condition, **changes):
    """Return a file as the first version of this program wrote it."""
    values = {
        "format": 1,
        "image": "one/a.png",
        "condition": condition,
        "category": 1,
        "label": None,
        "boxes": {"beak": [1, 2, 3, 4]},
        "size": [56, 56],
        "grid": [4, 4],
        "seed": 0,
        "finding": FINDINGS[condition],
        "key": {
            "identity": "abc",
            "model": {"name": "net", "weights_sha256": "def", "classes": 3},
            "condition": condition,
            "settings": {"seed": 0},
            "choices": None,
        },
        "versions": {"python": "3.11", "cuda": None},
    }
    return json.dumps(values | changes).encode()


@pytest.mark.parametrize("condition", FINDINGS)
def test_an_earlier_file_is_read_and_written_the_same(condition):
    file = measurement_file(condition)
    written = json.loads(encode_measurement(decode_measurement(file, condition)))
    counts = written["finding"].get("evaluations", {})
    assert counts.pop("passes", {}) == {}  # which earlier versions did not count
    assert counts.pop("backend", "torch") == "torch"  # nor had another
    assert written["finding"].get("seconds", {}).pop("needed", 0) == 0
    assert written == json.loads(file)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b'{"format": 1, "key"',
        measurement_file("sis", format=2),
        measurement_file("sis", finding={}),
        measurement_file("sis", category="one"),
    ],
    ids=["empty", "truncated", "another format", "no finding", "another type"],
)
def test_a_damaged_file_is_refused_in_one_line(file):
    with pytest.raises(ValueError) as caught:
        decode_measurement(file, "sis")
    assert "\n" not in str(caught.value)


def test_a_measurement_with_nan_is_not_written():
    measurement = decode_measurement(measurement_file("beam3"), "beam3")
    measurement.finding.probability = float("nan")
    with pytest.raises(ValueError):
        encode_measurement(measurement)


def test_the_main_jobs_settings_have_its_defaults():
    """A measurement is of the main job as in the paper, with curves at every count."""
    main_job = Settings()
    settings = MainJobSettings()
    assert settings.full_curves and not settings.fill_up and not settings.proof_sets
    assert not settings.what_if_sets
    others = {"full_curves", "fill_up", "proof_sets", "what_if_sets"}
    names = MainJobSettings.__dataclass_fields__.keys() - others
    assert {name: getattr(settings, name) for name in names} == {
        name: getattr(main_job, name) for name in names
    }


def test_a_choice_changes_nothing_but_itself():
    settings = MainJobSettings(seed=7)
    changed = CHOICES["blur"].apply(settings)
    assert changed == MainJobSettings(seed=7, baseline="blur")
