"""Percentages, conjunctions and names of files."""

import subprocess
import sys

import pytest
from drawn import make_sag

from drawing.words import conjunction, cost, joined, patch_name, percent, why_no_root


@pytest.mark.parametrize(
    "relative, words", [(0.966, "97 %"), (0.005, "0 %"), (1.1049, "110 %"), (0, "0 %")]
)
def test_percentages_are_rounded(relative, words):
    assert percent(relative) == words


@pytest.mark.parametrize(
    "drop, words",
    [
        (0.42, "−42 points"),
        (-0.03, "+3 points"),
        (0.001, "0 points"),
        (0.01, "−1 point"),
        (1.05, "−105 points"),
    ],
)
def test_a_cost_has_the_sign_of_the_change(drop, words):
    assert cost(drop) == words


def test_patches_are_numbered():
    assert conjunction((11, 30)) == "P11 & P30"


def test_regions_are_named():
    assert conjunction((0, 2), ["head", "wing", "tail"]) == "head & tail"


def test_one_patch_is_named_like_a_conjunction_of_one():
    assert patch_name(7) == conjunction((7,))


def test_no_patch_is_said_in_words():
    assert (conjunction(()), conjunction((), ["head"])) == ("no patch", "no region")


def test_a_file_is_named_after_its_patches():
    assert joined((11, 30)) == "11-30" and joined(()) == "none"


def test_a_long_file_name_is_cut():
    assert len(joined(range(784))) <= 150


def test_cut_file_names_stay_different():
    assert joined(range(200)) != joined(range(201))


def test_a_cut_file_name_is_the_same_in_every_process():
    code = "from drawing.words import joined; print(joined(range(784)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert other.stdout.strip() == joined(range(784))


def test_the_reason_for_no_root_is_a_sentence():
    assert why_no_root(make_sag()) == "no set that the search tried was sufficient"
