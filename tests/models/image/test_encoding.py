import pytest
import torch

from synthgen.errors import SynthgenError
from synthgen.layout import Attribute, ImageLayout
from synthgen.models.image.encoding import from_pixels, sampled_label, sampled_told, to_batch, told


def seeded():
    return torch.Generator().manual_seed(0)


def test_every_grey_level_comes_back_and_what_lies_beyond_is_cut_off():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_batch(from_pixels(levels), {})["image"], levels)
    assert from_pixels(levels).aminmax() == (-1, 1)
    assert to_batch(torch.tensor([-3.0, 7.0]), {})["image"].tolist() == [0, 255]


def test_free_labels_follow_the_shares_and_wanted_ones_are_kept():
    layout = ImageLayout(1, 4, 4, classes=3, class_shares=(0.5, 0.0, 0.5))
    label = sampled_label(layout, 4000, None, seeded())["label"]
    assert (label.bincount(minlength=3) / 4000 - torch.tensor([0.5, 0, 0.5])).abs().max() < 0.03
    known = torch.arange(4000) % 2 == 0
    condition = {"label": torch.ones(4000).long(), "label_known": known}
    wanted = sampled_label(layout, 4000, condition, seeded())["label"]
    assert (wanted[known] == 1).all()
    assert torch.equal(wanted[~known], label[~known])


def test_without_shares_all_classes_are_as_frequent_and_without_classes_there_are_no_labels():
    label = sampled_label(ImageLayout(1, 4, 4, classes=4), 4000, None, seeded())["label"]
    assert label.bincount().min() > 900
    assert sampled_label(ImageLayout(1, 4, 4), 10, None, seeded()) == {}


# Attributes

FLAG, NUMBER = Attribute("smiles", True, 0.5, 0.5), Attribute("age", False, 40.0, 10.0)
# Class 0 never smiles and is young, class 1 smiles and is old, but for one image that does not.
DESCRIBED = ((0.0, -1.0, -1.0), (0.0, -1.0, -0.9), (1.0, 1.0, 1.0), (1.0, 1.0, 1.1), (1.0, -1.0, 1.2))
LAYOUT = ImageLayout(1, 4, 4, 2, (0.2, 0.8), attributes=(FLAG, NUMBER), described=DESCRIBED)


def wanted(n, smiles=torch.nan, age=torch.nan, label=None):
    return {
        "label": torch.full((n,), label or 0),
        "label_known": torch.full((n,), label is not None),
        "attributes": torch.tensor([[smiles, age]]).repeat(n, 1),
    }


def test_attributes_are_told_beside_whether_they_are_known_and_nothing_is_told_of_hidden_images():
    batch = {"label": torch.tensor([1, 0, 1]), "attributes": torch.tensor([[1.0, torch.nan], [-1.0, 0.5], [1.0, 2.0]])}
    given = told(LAYOUT, batch, torch.tensor([False, False, True]))
    assert given.label.tolist() == [1, 0, 2]
    assert given.attributes.tolist() == [[1, 0, 1, 0], [-1, 0.5, 1, 1], [0, 0, 0, 0]]
    assert told(ImageLayout(1, 4, 4), {"image": torch.zeros(3)}) == (None, None)


def test_free_attributes_are_those_of_one_image_of_the_class():
    drawn = sampled_told(LAYOUT, 3000, None, seeded())
    assert abs(drawn["label"].float().mean() - 0.8) < 0.03, "by the shares, not by how many are described"
    rows = torch.cat([drawn["label"][:, None], drawn["attributes"]], dim=1)
    for row in rows.unique(dim=0).round(decimals=3).tolist():
        assert any(row == pytest.approx(one) for one in DESCRIBED)
    of_old = drawn["attributes"][drawn["label"] == 1, 0]
    assert abs((of_old < 0).float().mean() - 1 / 3) < 0.04


def test_what_is_wanted_is_kept_and_says_what_the_rest_is():
    drawn = sampled_told(LAYOUT, 500, wanted(500, age=-1.0), seeded())
    assert (drawn["attributes"][:, 1] == -1).all()
    assert (drawn["label"] == 0).all(), "the young are of class 0, though it is rare"
    assert (drawn["attributes"][:, 0] == -1).all()


def test_a_wanted_class_is_kept_beside_attributes_that_it_never_had():
    drawn = sampled_told(LAYOUT, 500, wanted(500, smiles=1.0, label=0), seeded())
    assert (drawn["label"] == 0).all()
    assert (drawn["attributes"][:, 0] == 1).all()
    assert drawn["attributes"][:, 1].max() < 0, "as images of the class are"


def test_a_model_of_classes_refuses_attributes_by_name():
    assert set(sampled_label(LAYOUT, 5, wanted(5), seeded())) == {"label"}
    with pytest.raises(SynthgenError, match=r"condition.age: this model knows classes alone"):
        sampled_label(LAYOUT, 5, wanted(5, age=1.0), seeded())
