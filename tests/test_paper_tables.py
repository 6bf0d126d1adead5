"""Each table on rows whose right values are known by hand."""

import csv
import io

import numpy as np
import pytest

from experiments.tables import (
    AT_MOST,
    Estimate,
    Table,
    against_truth,
    estimate,
    jaccard,
    tables,
    variance,
)


def row(image, sizes, diverse=(1, 2, 3), small=(), **more):
    """A reduced measurement of one image."""
    return {
        "image": image,
        "category": 1,
        "label": 1,
        "sizes": sizes,
        "small": set(small),
        "diverse": dict(zip("012", diverse)),
        "patches": [],
        "proven": len(sizes),
        "surely_diverse": dict.fromkeys("012", True),
        "asked": 20,
        "scored": 10,
        "search": 2.0,
        **more,
    }


def beam3(image, sizes, study=None, curves=None, **more):
    return row(
        image,
        sizes,
        curves=curves,
        probability=0.5,
        questions=4 if study else 0,
        study=study or {},
        **{"study_groups": {}, **more},
    )


def made(rows):
    return {table.name: table for table in tables(rows, 49)}


def values(table, *columns):
    """The cells of these columns, estimates as their values."""
    places = [table.columns.index(c) for c in columns]
    return [
        [c.value if isinstance(c, Estimate) else c for c in (r[i] for i in places)]
        for r in table.rows
    ]


def test_share_of_images_with_a_small_explanation():
    found = made(
        {
            "beam3": [beam3("a", [2, 5]), beam3("b", [3]), beam3("c", []), beam3("d", [1, 1])],
            "combs": [row("a", [2])],
        }
    )
    table = found["small_explanations"]
    assert table.columns[2:] == [f"k = {k}" for k in AT_MOST]
    assert values(table, "search", "images", "k = 1", "k = 2", "k = 3", "k = 49") == [
        ["BeamS-3", 4, 0.25, 0.5, 0.75, 0.75],
        ["CombS", 1, 0.0, 1.0, 1.0, 1.0],
    ]
    every = found["small_explanations_every_k"]
    assert (
        len(every.rows) == 49
        and every.columns == ["k", "BeamS-3 (n = 4)", "CombS (n = 1)"]
        and [r[0] for r in every.rows] == list(range(1, 50))
    )
    assert [r[1].value for r in every.rows[:4]] == [0.25, 0.5, 0.75, 0.75]


def test_numbers_and_their_variances():
    table = made({"beam15": [row("a", [1, 2, 3], (1, 2, 3)), row("b", [4], (1, 1, 1))]})[
        "number_of_explanations"
    ]
    assert [c.value for c in table.rows[0][2:]] == [2.0, 2.0, 1.0, 0.0, 1.5, 0.5, 2.0, 2.0]


def test_sizes_are_shares_within_an_image():
    table = made({"sis": [row("a", [1, 2, 2, 12], proven=0), row("b", [2]), row("c", [])]})["sizes"]
    assert values(
        table, "images", "smallest", "mean size", "1", "2", "3", "11 or more", "proven minimal"
    ) == [[2, 1.5, 3.125, 0.125, 0.75, 0.0, 0.125, 0.5]]


def test_searches_are_compared_on_the_same_images():
    rows = {
        "beam3": [beam3("a", [2, 5], scored=100), beam3("b", [4], scored=50), beam3("c", [1])],
        "combs": [
            row("a", [4], (1, 5, 6), scored=400),
            row("b", [], (0, 0, 0), scored=450),
            row("elsewhere", [1]),
        ],
    }
    (only,) = made(rows)["searches_on_the_same_images"].rows
    assert [c if isinstance(c, (str, int)) else (c.value, c.images) for c in only] == [
        "CombS",
        2,
        (-0.5, 2),
        (2.0, 1),
        (0.5, 2),
        (350.0, 2),
    ]
    assert "searches_on_the_same_images" not in made({"beam3": rows["beam3"]})


def test_positions_are_shares_within_an_image():
    table = made(
        {"sis": [row("a", [1, 2], patches=[0, 0, 3]), row("b", [1], patches=[3]), row("c", [])]}
    )["positions_every_patch"]
    assert (
        table.columns == ["patch", "SIS (n = 2)"]
        and [r[1].value for r in table.rows] == [0.5, 0, 0, 0.75] + [0] * 45
    )


def test_a_figure_over_fewer_images_than_its_row_says_so():
    table = Table(
        "t",
        "T",
        ["search", "images", "precision"],
        [["BeamS-3", 2, estimate([1.0, None])], ["SIS", 2, estimate([1.0, 0.0])]],
    )
    assert (
        "| BeamS-3 | 2 | 1.00, n = 1 |" in table.markdown()
        and "n = 2" not in table.markdown()
        and "1.00, n = 1" in table.latex()
    )


def test_random_sets_differ_between_images_of_the_same_sizes():
    boxes = {
        part: [32 * i, 32 * i, 32 * i + 40, 32 * i + 40]
        for i, part in enumerate(("beak", "crest", "wing", "tail", "feet"))
    }
    base = {"grid": [7, 7], "size": [224, 224], "category": 0, "seed": 0}
    roots = [(0, 1, 8), (16, 17, 24, 25)]
    found = [
        against_truth(roots, boxes, {**base, "image": name})[0.05, True]["random"]
        for name in ("a", "b", "a")
    ]
    assert found[0] == found[2] != found[1]


def test_cost_has_the_exhaustive_search_too():
    table = made(
        {
            "beam3": [beam3("a", [1])],
            "exhaustive": [row("a", [1], scored=100), row("b", [1], scored=200)],
        }
    )["cost"]
    assert values(table, "search", "images", "asked", "scored", "seconds") == [
        ["BeamS-3", 1, 20.0, 10.0, 2.0],
        ["exhaustive, size <= 3", 2, 20.0, 150.0, 2.0],
    ]


def test_choices():
    def changed(**agreement):
        return {
            name: {"mses": 4, "smallest": 2, "diverse": 3, "scored": 50, "agreement": a}
            for name, a in agreement.items()
        }

    rows = [
        {"image": "a", "choices": changed(same=1.0, other=0.5)},
        {"image": "b", "choices": changed(same=1.0)},
    ]
    table = made({"choices": rows})["choices"]
    assert values(table, "changed", "images", "MSEs", "agreement of roots") == [
        ["same", 2, 4.0, 1.0],
        ["other", 1, 4.0, 0.5],
    ]
    assert (
        jaccard({1, 2}, {2, 3}) == pytest.approx(1 / 3)
        and jaccard(set(), set()) == 1
        and jaccard({1}, set()) == 0
    )


def test_insertion_and_deletion():
    curves = {
        "patches": [0, 1],
        "igos": {"insertion_area": 0.4, "deletion_area": 0.2},
        "roots": {"insertion_area": 0.6, "deletion_area": 0.1},
    }
    table = made(
        {
            "beam3": [
                beam3("a", [1], curves=curves),
                beam3(
                    "b",
                    [],
                    curves={
                        "patches": [0, 1],
                        "igos": {"insertion_area": 0.2, "deletion_area": 0.4},
                    },
                ),
            ]
        }
    )["insertion_deletion"]
    assert values(table, *table.columns) == [
        ["I-GOS", 2, pytest.approx(0.3), pytest.approx(0.3)],
        ["roots", 1, 0.6, 0.1],
    ]


def test_the_study_counts_each_image_once_and_pairs_the_differences():
    right = dict(sag=0.75, root=0.5, gradcam=0.5, igos=0.25)
    found = made(
        {
            "beam3": [
                beam3("a", [1], study=right),
                beam3("b", [1], study=right | {"sag": 1.0, "igos": 0.75}),
                beam3("c", [1]),
            ]
        }
    )["simulated_study"]
    shares = {r[0]: (r[1], r[2], r[3].value) for r in found.rows}
    assert shares["SAG alone"] == (2, 8, 0.875) and shares["I-GOS"] == (2, 8, 0.5)
    assert (
        shares["SAG alone less Grad-CAM"][2] == 0.375 and shares["SAG alone less I-GOS"][2] == 0.375
    )


def test_the_study_by_what_the_sag_tells():
    groups = [
        {"apart": (3, {"sag": 1.0, "root": 0.5}), "root": (1, {"sag": 0.0, "root": 1.0})},
        {"apart": (1, {"sag": 0.5, "root": 0.5})},
        {},
    ]
    table = made(
        {
            "beam3": [
                beam3(n, [1], study={"sag": 1.0, "root": 0.5}, study_groups=g)
                for n, g in zip("abc", groups)
            ]
        }
    )["simulated_study_groups"]
    assert [r[1:3] for r in table.rows] == [[2, 4], [1, 1]] and values(
        table, "SAG alone", "one root"
    ) == [[0.75, 0.5], [0.0, 1.0]]
    assert "0.2 or more" in table.rows[0][0] and "whole drawn root" in table.rows[1][0]


def test_truth_and_recall_of_small_ones():
    def truth(p, r):
        return {
            (shown, lenient): {"mses": (p, r), "random": (0.0, 0.0)}
            for shown in (0.05, 0.1, 0.25)
            for lenient in (False, True)
        }

    complete = [row("a", [1, 2], small=[(1,), (2, 3)]), row("b", [], small=[])]
    found = made(
        {
            "beam3": [
                beam3("a", [1], small=[(1,)], truth=truth(1.0, 0.5)),
                beam3("b", [], truth=truth(None, 0.0)),
            ],
            "exhaustive": complete,
        }
    )
    assert values(
        found["truth"], "search", "images", "precision", "recall", "precision of random sets"
    ) == [["BeamS-3", 2, 1.0, 0.25, 0.0]]
    assert values(found["recall_of_small"], "search", "images", "such MSEs an image", "recall") == [
        ["BeamS-3", 1, 2.0, 0.5]
    ]
    assert "on 2 images; 1 of them" in found["recall_of_small"].note


def test_what_was_not_measured_has_no_table():
    assert (
        made({}) == {}
        and "truth" not in made({"beam3": [beam3("a", [1])]})
        and "simulated_study" not in made({"beam3": [beam3("a", [1])]})
    )


# ---------------------------------------------------------------- estimates and forms


def test_intervals():
    values = np.random.default_rng(1).normal(5, 2, 400)
    one = estimate(values)
    half = 1.96 * values.std() / 20  # of the normal approximation
    assert (
        one.value == pytest.approx(values.mean())
        and one.low == pytest.approx(one.value - half, abs=0.06)
        and one.high == pytest.approx(one.value + half, abs=0.06)
    )
    assert estimate(values) == one  # seeded
    assert estimate([True, None, True]) == Estimate(1.0, 1.0, 1.0, images=2) and estimate(
        [0.5]
    ) == Estimate(0.5, None, None, images=1)
    assert (
        estimate([]) is None
        and estimate([None, None]) is None
        and estimate([None, 1, 3]).value == 2.0
    )
    spread = estimate([1, 2, 6], variance)
    assert (
        spread.value == pytest.approx(7.0)
        and spread.low <= 7 <= spread.high
        and estimate([1], variance) is None
    )


def test_a_table_in_three_forms():
    table = Table(
        "t",
        "A & B",
        ["who", "share_%", "n"],
        [
            ["x <= 3", Estimate(0.256, 0.1, 0.4), 7],
            ["y", None, 0],
            ["z", Estimate(1.0, None, None), 1],
        ],
        "A note.",
    )
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert rows == [
        ["who", "share_%", "share_%, low", "share_%, high", "share_%, images", "n"],
        ["x <= 3", "0.256", "0.1", "0.4", "", "7"],
        ["y", "", "", "", "", "0"],
        ["z", "1.0", "", "", "", "1"],
    ]
    assert (
        "| x <= 3 | 0.26 (0.10 to 0.40) | 7 |" in table.markdown()
        and "| y |  | 0 |" in table.markdown()
        and "A note." in table.markdown()
    )
    latex = table.latex()
    assert (
        r"x $\le$ 3 & 0.26 (0.10 to 0.40) & 7 \\" in latex
        and r"share\_\%" in latex
        and r"\caption{A \& B. A note.}" in latex
        and latex.count(r"\hline") == 3
    )
