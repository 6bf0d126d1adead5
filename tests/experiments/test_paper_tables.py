"""Each table on rows whose right values are known by hand."""

import pytest

from drawing.record import Curve, Curves
from experiments.estimates import Estimate
from experiments.part_ground_truth import PrecisionRecall
from experiments.rows import (
    RULES,
    Agreement,
    ChoiceRow,
    ChoicesRow,
    GroupAnswers,
    Rows,
)
from experiments.search_tables import MAX_SIZES
from experiments.tables import all_tables


def tables_of(choices=(), **searches):
    """Return all tables of these rows, by name."""
    rows = Rows(searches=searches, choices=list(choices))
    return {table.name: table for table in all_tables(rows, num_patches=49)}


def values(table, *columns):
    """Return the cells of these columns row by row, estimates as their values."""
    cells = zip(*(table.column(column) for column in columns))
    return [[cell.value if isinstance(cell, Estimate) else cell for cell in row] for row in cells]


# ---------------------------------------------------------------- sizes and numbers


@pytest.fixture
def small_explanations(search_row, main_job_row):
    beam3 = [
        main_job_row("a", [2, 5]),
        main_job_row("b", [3]),
        main_job_row("c", []),
        main_job_row("d", [1, 1]),
    ]
    return tables_of(beam3=beam3, combs=[search_row("a", [2])])


def test_share_of_images_with_a_small_explanation(small_explanations):
    table = small_explanations["small_explanations"]
    assert table.columns[2:] == [f"k = {k}" for k in MAX_SIZES]
    assert values(table, "search", "images", "k = 1", "k = 2", "k = 3", "k = 49") == [
        ["BeamS-3", 4, 0.25, 0.5, 0.75, 0.75],
        ["CombS", 1, 0.0, 1.0, 1.0, 1.0],
    ]


def test_the_same_for_every_k(small_explanations):
    table = small_explanations["small_explanations_every_k"]
    assert table.columns == ["k", "BeamS-3 (n = 4)", "CombS (n = 1)"]
    assert table.column("k") == list(range(1, 50))
    shares = [cell.value for cell in table.column("BeamS-3 (n = 4)")]
    assert shares[:4] == [0.25, 0.5, 0.75, 0.75]


def test_numbers_and_their_variances(search_row):
    rows = [search_row("a", [1, 2, 3], (1, 2, 3)), search_row("b", [4], (1, 1, 1))]
    table = tables_of(beam15=rows)["number_of_explanations"]
    cells = [cell.value for cell in table.rows[0][2:]]
    assert cells == [2.0, 2.0, 1.0, 0.0, 1.5, 0.5, 2.0, 2.0]


def test_diverse_subsets_without_a_proof_are_counted(search_row):
    rows = [search_row("a", [1], diverse_proven=False), search_row("b", [1])]
    assert "SIS on 1 images" in tables_of(sis=rows)["number_of_explanations"].note


def test_sizes_are_shares_within_an_image(search_row):
    rows = [
        search_row("a", [1, 2, 2, 12], proven=0),
        search_row("b", [2]),
        search_row("c", []),
    ]
    table = tables_of(sis=rows)["sizes"]
    columns = ("images", "smallest", "mean size", "1", "2", "3", "11 or more", "proven minimal")
    assert values(table, *columns) == [[2, 1.5, 3.125, 0.125, 0.75, 0.0, 0.125, 0.5]]


def test_positions_are_shares_within_an_image(search_row):
    rows = [
        search_row("a", [1, 2], patches=[0, 0, 3]),
        search_row("b", [1], patches=[3]),
        search_row("c", []),
    ]
    table = tables_of(sis=rows)["positions_every_patch"]
    assert table.columns == ["patch", "SIS (n = 2)"]
    shares = [cell.value for cell in table.column("SIS (n = 2)")]
    assert shares == [0.5, 0, 0, 0.75] + [0] * 45


# ---------------------------------------------------------------- cost and comparisons


def test_searches_are_compared_on_the_same_images(search_row, main_job_row):
    beam3 = [
        main_job_row("a", [2, 5], scored=100),
        main_job_row("b", [4], scored=50),
        main_job_row("c", [1]),
    ]
    combs = [
        search_row("a", [4], (1, 5, 6), scored=400),
        search_row("b", [], (0, 0, 0), scored=450),
        search_row("elsewhere", [1]),
    ]
    (only,) = tables_of(beam3=beam3, combs=combs)["searches_on_the_same_images"].rows
    assert only[:2] == ["CombS", 2]
    differences = [(cell.value, cell.images) for cell in only[2:]]
    assert differences == [(-0.5, 2), (2.0, 1), (0.5, 2), (350.0, 2)]


def test_one_search_is_compared_with_nothing(main_job_row):
    assert "searches_on_the_same_images" not in tables_of(beam3=[main_job_row("a", [1])])


def test_cost_has_the_exhaustive_search_too(search_row, main_job_row):
    exhaustive = [search_row("a", [1], scored=100), search_row("b", [1], scored=200)]
    table = tables_of(beam3=[main_job_row("a", [1])], exhaustive=exhaustive)["cost"]
    assert values(table, "search", "images", "asked", "scored", "seconds") == [
        ["BeamS-3", 1, 20.0, 10.0, 2.0],
        ["exhaustive, size <= 3", 2, 20.0, 150.0, 2.0],
    ]


def test_choices_are_means_over_images_that_have_them():
    def choice(agreement):
        return ChoiceRow(mses=4, smallest=2, diverse=3, scored=50, agreement=agreement)

    rows = [
        ChoicesRow("a", {"same": choice(1.0), "other": choice(0.5)}),
        ChoicesRow("b", {"same": choice(1.0)}),
    ]
    table = tables_of(choices=rows)["choices"]
    assert values(table, "changed", "images", "MSEs", "agreement of roots") == [
        ["same", 2, 4.0, 1.0],
        ["other", 1, 4.0, 0.5],
    ]


@pytest.fixture
def recall_of_small(search_row, main_job_row):
    beam3 = [main_job_row("a", [1], small={(1,)}), main_job_row("b", [])]
    exhaustive = [search_row("a", [1, 2], small={(1,), (2, 3)}), search_row("b", [])]
    return tables_of(beam3=beam3, exhaustive=exhaustive)["recall_of_small"]


def test_recall_of_small_ones(recall_of_small):
    assert values(recall_of_small, "search", "images", "such MSEs an image", "recall") == [
        ["BeamS-3", 1, 2.0, 0.5]
    ]


def test_recall_says_how_many_images_have_small_ones(recall_of_small):
    assert "on 2 images; 1 of them" in recall_of_small.note


# ---------------------------------------------------------------- curves and the study


def curve(insertion, deletion):
    """Return a curve with these areas."""
    counts = {"insertion_patches": [0, 49], "deletion_patches": [0, 49]}
    return Curve([0.0, 1.0], [1.0, 0.0], insertion, deletion, **counts)


def test_insertion_and_deletion(main_job_row):
    both = Curves(igos=curve(0.4, 0.2), roots=curve(0.6, 0.1))
    one = Curves(igos=curve(0.2, 0.4))
    rows = [main_job_row("a", [1], curves=both), main_job_row("b", [], curves=one)]
    table = tables_of(beam3=rows)["insertion_deletion"]
    assert values(table, *table.columns) == [
        ["I-GOS", 2, pytest.approx(0.3), pytest.approx(0.3)],
        ["roots", 1, 0.6, 0.1],
    ]


@pytest.fixture
def study(main_job_row):
    accuracy = {"sag": 0.75, "root": 0.5, "gradcam": 0.5, "igos": 0.25}
    rows = [
        main_job_row("a", [1], accuracy=accuracy),
        main_job_row("b", [1], accuracy=accuracy | {"sag": 1.0, "igos": 0.75}),
        main_job_row("c", [1]),
    ]
    table = tables_of(beam3=rows)["simulated_study"]
    return {row[0]: row[1:3] + [row[3].value] for row in table.rows}


def test_the_study_counts_each_image_once(study):
    assert study["SAG alone"] == [2, 8, 0.875]
    assert study["I-GOS"] == [2, 8, 0.5]


def test_the_study_pairs_the_differences(study):
    assert study["SAG alone less Grad-CAM"][2] == 0.375
    assert study["SAG alone less I-GOS"][2] == 0.375


def test_the_study_by_what_the_sag_tells(main_job_row):
    accuracy = {"sag": 1.0, "root": 0.5}
    groups = [
        {
            "apart": GroupAnswers(3, {"sag": 1.0, "root": 0.5}),
            "root": GroupAnswers(1, {"sag": 0.0, "root": 1.0}),
        },
        {"apart": GroupAnswers(1, {"sag": 0.5, "root": 0.5})},
        {},
    ]
    rows = [
        main_job_row(name, [1], accuracy=accuracy, groups=group)
        for name, group in zip("abc", groups)
    ]
    table = tables_of(beam3=rows)["simulated_study_groups"]
    assert values(table, "images", "questions", "SAG alone", "one root") == [
        [2, 4, 0.75, 0.5],
        [1, 1, 0.0, 1.0],
    ]
    names = table.column("questions where")
    assert "0.2 or more" in names[0]
    assert "whole drawn root" in names[1]


# ---------------------------------------------------------------- ground truth


@pytest.fixture
def ground_truth(main_job_row):
    def by_every_rule(precision, recall):
        agreement = Agreement(PrecisionRecall(precision, recall), PrecisionRecall(0.0, 0.0))
        return dict.fromkeys(RULES, agreement)

    rows = [
        main_job_row("a", [1], ground_truth=by_every_rule(1.0, 0.5)),
        main_job_row("b", [], ground_truth=by_every_rule(None, 0.0)),
    ]
    return tables_of(beam3=rows)


def test_precision_is_over_images_with_an_mse(ground_truth):
    columns = ("search", "images", "precision", "recall", "precision of random sets")
    assert values(ground_truth["truth"], *columns) == [["BeamS-3", 2, 1.0, 0.25, 0.0]]


def test_every_rule_has_a_row(ground_truth):
    table = ground_truth["truth_by_rule"]
    assert values(table, "share", "rule", "recall") == [
        [share, rule, 0.25] for rule in ("minimal", "lenient") for share in ("5%", "10%", "25%")
    ]


# ---------------------------------------------------------------- what was not measured


def test_nothing_measured_makes_no_table():
    assert tables_of() == {}


@pytest.mark.parametrize("name", ["truth", "truth_by_rule", "simulated_study", "choices"])
def test_what_was_not_measured_has_no_table(main_job_row, name):
    assert name not in tables_of(beam3=[main_job_row("a", [1])])
