import torch

from synthgen.layout import ImageLayout
from synthgen.models.image.encoding import from_pixels, sampled_label, to_batch


def seeded():
    return torch.Generator().manual_seed(0)


def test_every_grey_level_comes_back_and_what_lies_beyond_is_cut_off():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_batch(from_pixels(levels), None)["image"], levels)
    assert from_pixels(levels).aminmax() == (-1, 1)
    assert to_batch(torch.tensor([-3.0, 7.0]), None)["image"].tolist() == [0, 255]


def test_free_labels_follow_the_shares_and_wanted_ones_are_kept():
    layout = ImageLayout(1, 4, 4, classes=3, class_shares=(0.5, 0.0, 0.5))
    label = sampled_label(layout, 4000, None, seeded())
    assert (label.bincount(minlength=3) / 4000 - torch.tensor([0.5, 0, 0.5])).abs().max() < 0.03
    known = torch.arange(4000) % 2 == 0
    wanted = sampled_label(layout, 4000, {"label": torch.ones(4000).long(), "label_known": known}, seeded())
    assert (wanted[known] == 1).all()
    assert torch.equal(wanted[~known], label[~known])


def test_without_shares_all_classes_are_as_frequent_and_without_classes_there_are_no_labels():
    label = sampled_label(ImageLayout(1, 4, 4, classes=4), 4000, None, seeded())
    assert label.bincount().min() > 900
    assert sampled_label(ImageLayout(1, 4, 4), 10, None, seeded()) is None
