"""The sheets of a user study and their key."""

import csv
import re

import pytest
from accessibility import faults


@pytest.fixture(scope="module")
def sheets(finished_paper):
    """Return the folder of the sheets."""
    return finished_paper.out / "sheets"


@pytest.fixture(scope="module")
def key(sheets):
    """Return the rows of the answer key."""
    with open(sheets / "answer_key.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def page(sheets):
    """Return the sheet of the SAG."""
    return (sheets / "sheet_sag.html").read_text(encoding="utf-8")


def test_there_is_a_question_from_each_image(key):
    assert [row["question"] for row in key] == ["1", "2", "3"]


def test_the_right_answer_is_the_more_confident_image(key):
    for row in key:
        a_is_larger = float(row["confidence_a"]) > float(row["confidence_b"])
        assert row["right"] == ("A" if a_is_larger else "B")


def test_the_key_has_the_simulated_answers(key):
    assert {row["sag_reader"] for row in key} <= {"A", "B", "tie"}
    assert {row["gradcam_reader"] for row in key} == {""}


def test_each_kind_of_explanation_has_a_sheet(sheets):
    """But for Grad-CAM, which a network without convolutions has not."""
    names = sorted(file.name for file in sheets.glob("*.html"))
    assert names == ["sheet_igos.html", "sheet_map.html", "sheet_root.html", "sheet_sag.html"]


def test_a_question_has_two_answers(page):
    assert len(re.findall('type="radio"', page)) == 6


def test_a_question_has_three_images(page):
    assert page.count("data:image/png") == 9


def test_a_sheet_is_complete(page):
    assert "{{" not in page


def test_a_sheet_loads_nothing_from_the_network(page):
    assert "http://" not in page
    assert "https://" not in page


def test_a_sheet_keeps_the_rules_of_accessibility(sheets, visit):
    assert faults(visit(sheets / "sheet_sag.html", ready="form")) == []


def test_a_sheet_gives_no_answer_away(page, key):
    text = re.sub(r"base64,[^\"]*", "", page)
    for row in key:
        assert f"{float(row['confidence_a']):.2f}" not in text
