"""Confidence measured from the baseline, and what is said where the baseline keeps the class."""

import numpy as np
import pytest
import torch
from drawn import read_sag
from main_job import run_planted, wrong_claims

from drawing.words import why_no_root
from main_generate_sag import Settings, explain
from running.steps import Saliency, Thresholds

WHITE = np.full((48, 48, 3), 255, np.uint8)


class Bright(torch.nn.Module):
    """A network of one logit over (B, 3, 48, 48): it rises with the image's mean, from `lowest`."""

    input_size = 48
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self, lowest):
        super().__init__()
        self.lowest = lowest

    def forward(self, images):
        return self.lowest + images.mean((1, 2, 3))[:, None]


def ends(full, hidden):
    """Return what is known of an image's two ends."""
    return Saliency(full, hidden, mask=torch.zeros(1), method="igos", gradcam=None)


@pytest.mark.parametrize(
    "measure, full, hidden, expected",
    [
        ("relative", 0.8, 0.4, (0.9, 0.4)),
        ("between", 0.8, 0.4, (0.95, 0.7)),
        ("between", 0.8, 0.0, (0.9, 0.4)),
        ("between", 0.4, 0.8, (0.9, 0.4)),  # the baseline is above the image
        ("between", 0.0, 0.0, (0.9, 0.4)),
    ],
)
def test_thresholds_count_from_0_or_from_the_baseline(measure, full, hidden, expected):
    made = Thresholds.of(ends(full, hidden), Settings(measure=measure))
    assert (made.enough, made.node) == pytest.approx(expected)


@pytest.fixture(scope="module")
def kept():
    """A white image of which black keeps the class: 0.88 against 0.95."""
    return explain(Bright(2.0).eval(), WHITE, grid=3, category="1")


def test_where_the_baseline_keeps_the_class_both_values_are_said(kept):
    assert kept.search.stopped_by == "baseline_sufficient"
    assert "0.953 on the image, 0.881 on the baseline" in why_no_root(kept)


def test_no_other_baseline_is_advised_where_none_would_do(kept):
    assert set(kept.baseline.others) == {"black", "blur", "mean", "median", "mixed"}
    assert why_no_root(kept).endswith("so it does on all baselines")


def test_a_baseline_that_would_do_is_advised():
    dark = Bright(-1.0).eval()  # the class "dark" keeps its confidence on black, and not on mean
    sag = explain(dark, np.zeros((48, 48, 3), np.uint8), grid=3, category="0")
    assert sag.search.stopped_by == "baseline_sufficient"
    assert "other baselines take it away: mean (0.6" in why_no_root(sag)


def test_between_the_ends_there_is_something_to_explain():
    sag = explain(Bright(2.0).eval(), WHITE, grid=3, category="1", measure="between")
    enough = sag.baseline.probability + 0.9 * (sag.probability - sag.baseline.probability)
    assert sag.roots and all(root.probability > enough for root in sag.roots)


def test_a_run_measured_between_the_ends_is_confirmed(white_images, out):
    options = ("--measure", "between", "--explain", "both")
    assert run_planted(white_images / "a.png", out, *options) == 0
    assert read_sag(out / "a").threshold > 0.9
    assert wrong_claims(out, white_images) == []
