"""The memo: each set is scored once, batches change nothing, and memory may run out."""

import time

import pytest
import torch
from planted import BLACK, WHITE, PlantedNetwork

from scoring.memory import is_out_of_memory
from scoring.networks import class_probabilities
from scoring.patches import cells
from scoring.regions import Regions
from scoring.scorer import MaskScorer, image_probabilities, score_image
from scoring.speed import auto_batch_size

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


def test_a_lack_of_memory_is_recognised_in_the_words_of_windows():
    assert is_out_of_memory(RuntimeError("not enough memory: you tried to allocate 1 bytes"))


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
