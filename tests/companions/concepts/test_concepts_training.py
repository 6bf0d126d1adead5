"""Training on chosen images: resuming, the schedule, varied images."""

import numpy as np
import pytest
import torch
from concept_networks import InTraining, linear_network, network_of, noise_images

from companions.concepts.fine_tuning import (
    Recipe,
    augmentation,
    batch_of,
    fine_tune,
    image_numbers,
    learning_rates,
)
from scoring.baselines import IMAGENET_MEAN_COLOUR

IMAGES = noise_images(5)
TARGETS = [0, 1, 0, 1, 1]
RECIPE = Recipe(steps=20, batch=4, lr=0.01, hide=0.5, mixup=0.2, cutmix=1.0)


def train(**options):
    """Return the weights of a short training of the same network."""
    tuned = fine_tune(linear_network(), IMAGES.__getitem__, TARGETS, recipe=RECIPE, **options)
    return tuned.module.state_dict()


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def interrupted_training(checkpoint, **options):
    """Interrupt the training in its 13th step."""
    losses = []

    def stop(loss):
        losses.append(loss)
        if len(losses) == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=checkpoint, on_step=stop, **options)


# ---------------------------------------------------------------- resuming


def test_resumed_training_gives_the_same_weights(tmp_path):
    checkpoint = tmp_path / "c"
    interrupted_training(checkpoint)
    losses = []
    resumed = train(checkpoint=checkpoint, on_step=losses.append)
    assert same(resumed, train())
    assert len(losses) == 20
    assert np.isnan(losses[:12]).all()
    assert np.isfinite(losses[12:]).all()
    assert not checkpoint.exists()


def test_the_given_network_is_not_changed():
    network = linear_network()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    tuned = fine_tune(network, IMAGES.__getitem__, TARGETS, recipe=RECIPE)
    assert same(network.module.state_dict(), before)
    assert not any(torch.equal(v, before[k]) for k, v in tuned.module.state_dict().items())


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    (tmp_path / "c").write_bytes(b"damaged")
    assert same(train(checkpoint=tmp_path / "c"), train())


def test_a_checkpoint_of_other_images_is_not_used(tmp_path):
    interrupted_training(tmp_path / "c", identity="these")
    losses = []
    train(checkpoint=tmp_path / "c", identity="others", on_step=losses.append)
    assert np.isfinite(losses).all()
    assert len(losses) == 20


# ---------------------------------------------------------------- learning


GREY = np.full((8, 8, 3), 90, np.uint8)
ONE_IMAGE = Recipe(steps=60, batch=4, lr=0.05, erase=0.0)


def probability_learned(network):
    tuned = fine_tune(network, lambda i: GREY, [1], recipe=ONE_IMAGE)
    return tuned.module(tuned.prepare(GREY)[None]).softmax(1)[0, 1]


def test_training_learns_from_one_image():
    assert probability_learned(linear_network()) > 0.9


def test_training_takes_a_tuple_of_logits():
    torch.manual_seed(0)
    assert probability_learned(network_of(InTraining())) > 0.9


def test_training_on_no_image_is_refused():
    with pytest.raises(ValueError, match="no image"):
        fine_tune(linear_network(), None, [], recipe=Recipe())


# ---------------------------------------------------------------- the learning rate


def rates_of(steps):
    """Return PyTorch's learning rates of a training, with 1 as the highest."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = learning_rates(optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def formula(steps):
    """Return a linear rise over a tenth of the steps, then half a cosine that ends above 0."""
    warm = max(1, round(0.1 * steps))
    rates = []
    for step in range(steps):
        falling = 0.5 * (1 + np.cos(np.pi * (step - warm + 1) / (steps - warm + 1)))
        rates.append((step + 1) / warm if step < warm else falling)
    return rates


@pytest.mark.parametrize("steps", [1, 2, 14, 15, 25, 100, 200])
def test_pytorchs_schedule_is_the_formula(steps):
    assert rates_of(steps) == pytest.approx(formula(steps), abs=1e-12)


def test_the_learning_rate_rises_for_a_tenth_and_falls():
    rates = rates_of(100)
    assert rates.index(max(rates)) == 9
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert min(rates) > 0


# ---------------------------------------------------------------- the images of a step


def test_every_image_comes_once_before_any_comes_again():
    recipe = Recipe(batch=3)
    numbers = [i for step in range(10) for i in image_numbers(5, recipe, step)]
    assert all(sorted(numbers[n : n + 5]) == list(range(5)) for n in range(0, 30, 5))


def varied(count=400, side=64, **recipe):
    """Return how a white image with a black left half is varied, (count, 3, side, side)."""
    image = torch.full((3, side, side), 255, dtype=torch.uint8)
    image[:, :, : side // 2] = 0
    augment = augmentation(Recipe(**{"erase": 0.0, "hide": 0.0, **recipe}))
    torch.manual_seed(0)
    return torch.stack([augment(image) for _ in range(count)])


def replaced(images):
    """Return where images have the mean colour, (N, side, side) bool."""
    colour = torch.tensor(IMAGENET_MEAN_COLOUR).view(3, 1, 1)
    return (images == colour).all(1)


def test_half_of_the_images_are_mirrored():
    mirrored = (varied()[:, 0, 0, 0] == 255).float().mean()
    assert mirrored == pytest.approx(0.5, abs=0.1)


def test_a_share_of_the_images_has_a_rectangle_replaced():
    masks = replaced(varied(erase=0.25))
    hit = masks[masks.any((1, 2))]
    assert len(hit) / len(masks) == pytest.approx(0.25, abs=0.08)
    for mask in hit:
        rows = mask.any(1).sum()
        columns = mask.any(0).sum()
        assert mask.sum() == rows * columns  # one full rectangle
        assert 0.03 <= mask.float().mean() <= 0.37


def test_a_share_of_the_images_has_cells_replaced():
    masks = replaced(varied(hide=0.5, side=70))
    hit = masks[masks.any((1, 2))]
    assert len(hit) / len(masks) == pytest.approx(0.5, abs=0.1)
    cells = hit.view(-1, 7, 10, 7, 10)
    assert torch.equal(cells.any(4).any(2), cells.all(4).all(2))  # whole cells of a 7 x 7 grid


def test_a_step_mixes_images_where_the_recipe_says_so():
    network = linear_network()

    def targets_of(**recipe):
        images, target = batch_of(
            network, IMAGES.__getitem__, targets=TARGETS, recipe=Recipe(batch=4, **recipe), step=0
        )
        assert images.shape == (4, 3, 8, 8)
        return target

    assert set(targets_of().flatten().tolist()) == {0, 1}
    for name in ("mixup", "cutmix"):
        target = targets_of(**{name: 1.0})
        assert target.sum(1).tolist() == pytest.approx([1] * 4)
        assert ((target > 0) & (target < 1)).any()
