"""The memo: each set is scored once, batches change nothing, and memory may run out."""

import time

import pytest
import torch
from planted import BLACK, WHITE, PlantedNetwork

from scoring.engine import in_bfloat16
from scoring.networks import class_probabilities
from scoring.patches import cells
from scoring.regions import Regions
from scoring.scorer import (
    CheckedProbabilities,
    MaskScorer,
    auto_batch_size,
    image_probabilities,
    is_out_of_memory,
    masks_of,
    score_image,
)

HIGH = 0.95  # a planted network's probability where a conjunction is visible
LOW = 0.02
SINGLES = [(patch,) for patch in range(49)]


class UpperAndLower(torch.nn.Module):
    """Two logits: the mean brightness of the upper and of the lower half."""

    def forward(self, x):
        return torch.stack([half.mean((1, 2, 3)) for half in x.chunk(2, 2)], 1)


def score_planted(network, **options):
    """Return a scorer of a planted network's class 1 on a white image."""
    return score_image(network, WHITE, BLACK, 1, **options)


# ---------------------------------------------------------------- probabilities


def test_a_planted_network_has_its_planted_answers():
    scorer = score_planted(PlantedNetwork([(0,), (10, 30), (47, 48)]))
    scores = scorer([(), (0,), (10,), (10, 30), (48,), range(49)])
    assert scores.tolist() == pytest.approx([LOW, HIGH, LOW, HIGH, LOW, HIGH])


@pytest.fixture(scope="module")
def scored_alone(resnet, image, baseline, patch_sets):
    """The probabilities of the random sets, each scored by itself."""
    scorer = score_image(resnet, image, baseline, 3)
    return torch.cat([scorer([patches]) for patches in patch_sets])


@pytest.mark.parametrize("batch_size", [1, 7, 32, 40])
def test_results_do_not_depend_on_the_batch(
    resnet, image, baseline, patch_sets, scored_alone, batch_size
):
    scorer = score_image(resnet, image, baseline, 3, batch_size=batch_size)
    assert torch.allclose(scorer(patch_sets), scored_alone, atol=1e-5, rtol=0)


def test_scores_carry_no_gradient(resnet, image, baseline, patch_sets):
    assert not score_image(resnet, image, baseline, 3)(patch_sets[:3]).requires_grad


def test_scoring_draws_no_random_numbers(resnet, image, baseline, patch_sets):
    state = torch.get_rng_state()
    score_image(resnet, image, baseline, 3)(patch_sets[:3])
    assert torch.equal(state, torch.get_rng_state())


def test_without_shows_everything_else(resnet, image, baseline):
    scorer = score_image(resnet, image, baseline, 0, grid=(2, 2))
    assert torch.equal(scorer.without([(0, 3), ()]), scorer([(1, 2), (0, 1, 2, 3)]))


def test_a_single_logit_is_a_sigmoid():
    logits = torch.tensor([[2.0], [-1.0]])
    assert torch.allclose(class_probabilities(logits)[:, 1], logits[:, 0].sigmoid())


def test_a_single_logit_has_two_classes():
    sums = class_probabilities(torch.tensor([[2.0], [-1.0]])).sum(1)
    assert torch.allclose(sums, torch.ones(2))


# ---------------------------------------------------------------- all classes


def test_without_a_class_each_set_has_a_row(resnet, image, baseline, patch_sets):
    rows = score_image(resnet, image, baseline, None)(patch_sets)
    one = score_image(resnet, image, baseline, 3)(patch_sets)
    assert torch.allclose(rows[:, 3], one, atol=1e-6)


def test_rows_are_probabilities(resnet, image, baseline, patch_sets):
    rows = score_image(resnet, image, baseline, None)(patch_sets)
    assert torch.allclose(rows.sum(1), torch.ones(len(patch_sets)))


def test_a_row_is_hidden_and_shown_likewise(resnet, image, baseline):
    rows = score_image(resnet, image, baseline, None, grid=(2, 2))
    one = score_image(resnet, image, baseline, 0, grid=(2, 2))
    hidden = rows.without([(0, 3), ()])
    assert torch.allclose(hidden[:, 0], one([(1, 2), (0, 1, 2, 3)]), atol=1e-6)


# ---------------------------------------------------------------- regions


REGION_OF_PIXEL = torch.tensor([[0, 0], [1, 1], [2, 2], [2, 2]])


@pytest.fixture
def stripes():
    """The basis of three regions, the lowest twice as high."""
    return Regions.of(REGION_OF_PIXEL.numpy()).basis()


@pytest.fixture
def small_image():
    return torch.rand(3, 4, 2)


@pytest.fixture
def small_baseline():
    return torch.rand(3, 4, 2)


@pytest.fixture
def wanted(small_image, small_baseline):
    """The probabilities with regions 0 and 2 shown, and with none."""
    is_shown = (REGION_OF_PIXEL == 0) | (REGION_OF_PIXEL == 2)
    shown = torch.where(is_shown, small_image, small_baseline)
    return UpperAndLower()(torch.stack([shown, small_baseline])).softmax(1)


def test_regions_are_shown_and_hidden_whole(small_image, small_baseline, stripes, wanted):
    scorer = score_image(UpperAndLower(), small_image, small_baseline, None, basis=stripes)
    assert torch.allclose(scorer([(0, 2), ()]), wanted, atol=1e-6)


def test_hiding_regions_is_showing_the_others(small_image, small_baseline, stripes):
    scorer = score_image(UpperAndLower(), small_image, small_baseline, None, basis=stripes)
    assert torch.equal(scorer.without([(1,), (0, 1, 2)]), scorer([(0, 2), ()]))


def test_hidden_and_shown_regions_share_the_memo(small_image, small_baseline, stripes):
    scorer = score_image(UpperAndLower(), small_image, small_baseline, None, basis=stripes)
    scorer.without([(1,), (0, 1, 2)])
    scorer([(0, 2), ()])
    assert scorer.scored == 2


def test_one_class_of_regions(small_image, small_baseline, stripes, wanted):
    scorer = score_image(UpperAndLower(), small_image, small_baseline, 1, basis=stripes)
    assert torch.allclose(scorer.without([(1,), (0, 1, 2)]), wanted[:, 1], atol=1e-6)


def test_no_sets_have_no_rows(small_image, small_baseline, stripes):
    scorer = score_image(UpperAndLower(), small_image, small_baseline, None, basis=stripes)
    assert len(scorer([])) == 0


def test_a_basis_decides_the_number_of_patches(small_image, small_baseline, stripes):
    scorer = score_image(UpperAndLower(), small_image, small_baseline, 1, basis=stripes)
    assert scorer.num_patches == 3


# ---------------------------------------------------------------- the memo


SPELLINGS = [(3, 4), (4, 3), (4, 3, 3), (5,)]  # two sets


def test_a_set_has_one_answer_in_any_spelling():
    scorer = score_planted(PlantedNetwork([(3, 4)]))
    assert scorer(SPELLINGS).tolist() == pytest.approx([HIGH, HIGH, HIGH, LOW])


def test_a_set_is_scored_once_in_a_call():
    network = PlantedNetwork([(3, 4)])
    score_planted(network)(SPELLINGS)
    assert sum(network.calls) == 2


def test_a_set_is_scored_once_over_all_calls():
    network = PlantedNetwork([(3, 4)])
    scorer = score_planted(network)
    scorer(SPELLINGS)
    scorer([(5,), (3, 4)])
    assert sum(network.calls) == scorer.scored == 2


def test_sets_are_counted_as_often_as_asked_for():
    scorer = score_planted(PlantedNetwork([(3, 4)]))
    scorer(SPELLINGS)
    scorer([(5,), (3, 4)])
    assert scorer.asked == 6


def test_no_sets_have_no_scores():
    assert score_planted(PlantedNetwork([(3, 4)]))([]).shape == (0,)


def test_progress_is_told_after_each_batch():
    sizes = []
    scorer = score_planted(PlantedNetwork([(1,)]), batch_size=20, on_scored=sizes.append)
    scorer(SINGLES)
    assert sizes == [20, 20, 9]


# ---------------------------------------------------------------- memory that runs out


class FewAtOnce(PlantedNetwork):
    """A planted network with memory for five images."""

    def forward(self, x):
        if len(x) > 5:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return super().forward(x)


@pytest.fixture
def cramped():
    """A scorer with too large a batch size, after it has scored every single patch."""
    scorer = score_planted(FewAtOnce([(1,)]), batch_size=32)
    scorer(SINGLES)
    return scorer


def test_running_out_of_memory_loses_nothing(cramped):
    expected = [HIGH if patches == (1,) else LOW for patches in SINGLES]
    assert cramped(SINGLES).tolist() == pytest.approx(expected)


def test_running_out_of_memory_halves_the_batch(cramped):
    assert cramped.batch_size == 4


def test_the_smaller_batch_is_kept():
    network = FewAtOnce([(1,)])
    score_planted(network, batch_size=32)(SINGLES)
    assert max(network.calls) == 4


def test_a_batch_that_failed_is_not_counted(cramped):
    assert cramped.scored == 49


def failing(message):
    """Return a scorer whose network raises a RuntimeError."""

    def forward(x):
        raise RuntimeError(message)

    return score_planted(forward)


def test_no_memory_for_a_single_image_is_an_error():
    with pytest.raises(MemoryError):
        failing("CUDA out of memory")([(1,), (2,)])


def test_other_errors_are_raised_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"):
        failing("shapes do not fit")([(1,)])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("not enough memory: you tried to allocate 1 bytes"),
    ],
)
def test_running_out_of_memory_is_recognised(error):
    assert is_out_of_memory(error)


def test_another_error_is_not_a_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize("side, number", [(224, 8), (112, 32), (448, 2), (2000, 1)])
def test_larger_images_make_smaller_batches(side, number):
    assert auto_batch_size(torch.empty(3, side, side)) == number


# ---------------------------------------------------------------- bad patches, NaN, deadlines


@pytest.mark.parametrize("patches", [(49,), (-1, 3)])
def test_a_patch_that_does_not_exist_is_refused(patches):
    with pytest.raises(ValueError, match="outside 0..48"):
        score_planted(PlantedNetwork([(1,)]))([patches])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_returns_nan_is_refused(value):
    with pytest.raises(FloatingPointError):
        score_planted(lambda x: torch.full((len(x), 3), value))([(1,)])


@pytest.fixture
def late():
    """A scorer whose deadline passed after two batches of four."""
    scorer = score_planted(PlantedNetwork([(1,)]), batch_size=4)

    def end_after_eight(_):
        if scorer.scored >= 8:
            scorer.deadline = time.monotonic() - 1

    scorer.on_scored = end_after_eight
    with pytest.raises(TimeoutError):
        scorer(SINGLES[:30])
    return scorer


def test_no_batch_begins_after_the_deadline(late):
    assert late.scored == 8


def test_the_deadline_keeps_what_was_scored(late):
    assert list(late.table) == SINGLES[:8]


def test_what_was_scored_is_known_after_the_deadline(late):
    assert late([(1,)]).item() == pytest.approx(HIGH)


# ---------------------------------------------------------------- masks


def test_a_mask_has_a_one_for_each_visible_patch():
    assert masks_of([(0, 2), ()], 3).tolist() == [[1, 0, 1], [0, 0, 0]]


def test_masks_are_float32():
    assert masks_of([(0,)], 3).dtype == torch.float32


def test_no_patch_sets_make_no_masks():
    assert masks_of([], 3).shape == (0, 3)


@pytest.mark.parametrize("patches", [(3,), (0, 3), (-1,), (-1, 0)])
def test_a_mask_of_a_patch_that_does_not_exist(patches):
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        masks_of([(0,), patches], 3)


# ---------------------------------------------------------------- any callable will do


def share_visible(masks):
    """Return the share of patches that each row shows."""
    return masks.mean(1)


def test_a_scorer_asks_any_callable():
    scorer = MaskScorer(share_visible, 4)
    assert scorer([(0, 3), (), (0, 1, 2, 3)]).tolist() == [0.5, 0.0, 1.0]


def test_a_batch_size_of_zero_is_one():
    assert MaskScorer(share_visible, 4, batch_size=0).batch_size == 1


def test_image_probabilities_are_the_composed_images(resnet, image, baseline, masks):
    wanted = score_image(resnet, image, baseline, 3)
    probabilities = image_probabilities(resnet, image, baseline, 3)
    sets = [tuple(mask.nonzero()[:, 0].tolist()) for mask in masks]
    assert torch.allclose(probabilities(masks), wanted(sets), atol=1e-5)


def test_image_probabilities_take_a_basis(small_image, small_baseline):
    basis = cells((2, 1), (4, 2))
    probabilities = image_probabilities(
        UpperAndLower(), small_image, small_baseline, 0, basis=basis
    )
    mixed = torch.cat([small_image[:, :2], small_baseline[:, 2:]], 1)
    wanted = UpperAndLower()(mixed[None]).softmax(1)[:, 0]
    assert torch.allclose(probabilities(torch.tensor([[1.0, 0.0]])), wanted, atol=1e-6)


# ---------------------------------------------------------------- reduced precision, checked


def coarse(masks):
    """Return the share of patches that each row shows, a little too high."""
    return masks.mean(1) + 0.01


@pytest.fixture
def checked():
    """Shares of ten patches, 0.01 too high but for those between 0.4 and 0.7."""
    return CheckedProbabilities(coarse, share_visible, low=0.4, high=0.7)


HALF = tuple(range(5))


def test_answers_near_the_threshold_are_exact(checked):
    assert checked(masks_of([HALF], 10)).item() == pytest.approx(0.5)


def test_other_answers_are_those_of_reduced_precision(checked):
    assert checked(masks_of([(0,), range(9)], 10)).tolist() == pytest.approx([0.11, 0.91])


@pytest.mark.parametrize("low, high", [(0.5, 0.75), (0.25, 0.5)])
def test_the_ends_of_the_band_are_trusted(low, high):
    checked = CheckedProbabilities(
        share_visible, lambda masks: masks.mean(1) + 0.1, low=low, high=high
    )
    assert checked(masks_of([HALF], 10)).item() == 0.5


def test_sets_that_float32_decided_are_counted(checked):
    checked(masks_of([HALF, (0,), range(6), range(9)], 10))
    assert checked.doubted == 2


def test_float32_scores_the_doubted_sets_only():
    asked = []

    def exact(masks):
        asked.append(len(masks))
        return share_visible(masks)

    checked = CheckedProbabilities(coarse, exact, low=0.4, high=0.7)
    checked(masks_of([(0,), (1,)], 10))
    checked(masks_of([(0,), HALF], 10))
    assert asked == [1]


def test_a_scorer_counts_each_doubted_set_once(checked):
    scorer = MaskScorer(checked, 10)
    scorer([HALF, HALF, (0,)])
    scorer([HALF])
    assert checked.doubted == 1


@pytest.fixture
def in_reduced_precision(resnet, image, baseline):
    """Probabilities of the network in bfloat16."""
    return image_probabilities(in_bfloat16(resnet, image[None]), image, baseline, 3)


@pytest.fixture
def in_float32(resnet, image, baseline):
    """Probabilities of the network in float32."""
    return image_probabilities(resnet, image, baseline, 3)


def test_bfloat16_is_near_float32(in_reduced_precision, in_float32, masks):
    difference = (in_reduced_precision(masks) - in_float32(masks)).abs().max()
    assert 0 < difference < 0.05


def test_near_the_threshold_float32_decides(in_reduced_precision, in_float32, masks):
    reduced = in_reduced_precision(masks)
    low, high = reduced.quantile(torch.tensor([0.3, 0.7])).tolist()
    checked = CheckedProbabilities(in_reduced_precision, in_float32, low=low, high=high)
    in_band = (low < reduced) & (reduced < high)
    expected = torch.where(in_band, in_float32(masks), reduced)
    assert in_band.sum() > 5 and torch.allclose(checked(masks), expected, atol=1e-5)


def test_float32_decides_as_often_as_counted(in_reduced_precision, in_float32, masks):
    reduced = in_reduced_precision(masks)
    low, high = reduced.quantile(torch.tensor([0.3, 0.7])).tolist()
    checked = CheckedProbabilities(in_reduced_precision, in_float32, low=low, high=high)
    checked(masks)
    assert checked.doubted == int(((low < reduced) & (reduced < high)).sum())
