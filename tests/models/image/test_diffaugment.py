import pytest
import torch

from synthgen.models.image.diffaugment import AUGMENTATIONS, diff_augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=64, channels=3, height=20, width=28):
    return torch.rand(n, channels, height, width, generator=seeded(7)) * 2 - 1


def test_translation_moves_whole_pixels_up_to_an_eighth_and_lets_zero_in():
    x = images(200, 2, 16, 24)
    moved = diff_augment(x, ["translation"], seeded())
    shifts = set()
    for before, after in zip(x, moved):
        padded = torch.nn.functional.pad(before, (3, 3, 2, 2))
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if torch.equal(after, padded[:, 2 - down : 18 - down, 3 - right : 27 - right])
        ]
        assert len(found) == 1
        shifts |= set(found)
    assert len(shifts) == 35, "every shift is drawn"


def test_cutout_zeroes_one_box_of_half_of_each_side():
    x = images() + 3
    cut = diff_augment(x, ["cutout"], seeded())
    gone = cut == 0
    assert torch.equal(cut[~gone], x[~gone])
    for mask in gone:
        rows, columns = mask[0].any(dim=1), mask[0].any(dim=0)
        assert torch.equal(mask, (rows[:, None] & columns[None, :]).expand_as(mask))
        for inside, half in ((rows, 10), (columns, 14)):
            assert half // 2 <= int(inside.sum()) <= half
    assert gone.any(dim=0).all(), "the box comes everywhere"
    assert int(gone[:, 0].sum(dim=(1, 2)).max()) == 140


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_color_is_linear_in_each_image(channels):
    """x → a x + b for one channel or many; with three, saturation mixes a channel with the mean of the three."""
    x = images(channels=channels)
    changed = diff_augment(x, ["color"], seeded())
    assert changed.shape == x.shape
    brightness = (changed - x).mean(dim=(1, 2, 3))
    assert brightness.min() < -0.4
    assert brightness.max() > 0.4
    assert brightness.abs().max() <= 0.5 + 1e-5, "contrast and saturation keep the mean"
    grey, before = changed.mean(dim=1), x.mean(dim=1)
    contrast = grey.flatten(1).std(dim=1) / before.flatten(1).std(dim=1)
    assert contrast.min() >= 0.5 - 1e-4
    assert contrast.max() <= 1.5 + 1e-4
    spread = (changed - grey[:, None]).flatten(1).norm(dim=1) / (x - before[:, None]).flatten(1).norm(dim=1)
    if channels == 3:
        assert (spread / contrast).min() < 0.3
        assert (spread / contrast).max() > 1.7
    if channels == 5:
        torch.testing.assert_close(spread, contrast)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_are_those_of_finite_differences(name):
    x = images(2, 3, 5, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda points: diff_augment(points, [name], seeded()), x)


def test_every_image_has_its_own_draw_and_the_generator_alone_decides():
    x = images(1).expand(32, -1, -1, -1)
    changed = diff_augment(x, list(AUGMENTATIONS), seeded())
    assert len(changed.flatten(1).unique(dim=0)) == 32
    assert torch.equal(changed, diff_augment(x, list(AUGMENTATIONS), seeded()))
    assert torch.equal(diff_augment(x, [], seeded()), x)
