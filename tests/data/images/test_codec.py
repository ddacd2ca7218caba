import json

import numpy as np
import pandas as pd
import pytest
import torch

from synthgen.data.images.codec import ImageCodec
from synthgen.data.images.images import Images
from synthgen.errors import SynthgenError


def images(labels=(0, 1, 1, 2, 1), classes=("cat", "dog", "7")):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 9), dtype=np.uint8)
    return Images(pixels, None if labels is None else np.array(labels), classes if labels else ())


def test_sigma_data_is_the_standard_deviation_of_images_scaled_to_minus_1_and_1():
    rng = np.random.default_rng(0)
    for pixels in (
        rng.integers(0, 256, (20, 3, 6, 9), dtype=np.uint8),
        rng.binomial(255, 0.9, (20, 1, 5, 5)).astype(np.uint8),
        (255 * (rng.random((20, 1, 5, 5)) < 0.2)).astype(np.uint8),
    ):
        expected = np.std(pixels / 127.5 - 1)
        assert ImageCodec.fit(Images(pixels)).layout.sigma_data == pytest.approx(expected, rel=1e-9)


def test_images_of_one_colour_have_a_sigma_data_that_divides():
    assert 0 < ImageCodec.fit(Images(np.full((3, 1, 4, 4), 128, dtype=np.uint8))).layout.sigma_data <= 1e-3


def test_layout_is_what_the_images_are():
    layout = ImageCodec.fit(images()).layout
    assert layout.shape == (3, 6, 9)
    assert layout.classes == 3
    assert layout.class_shares == pytest.approx((0.2, 0.6, 0.2))
    unlabelled = ImageCodec.fit(images(labels=None)).layout
    assert (unlabelled.classes, unlabelled.class_shares) == (0, ())


def test_a_class_without_training_images_has_share_0():
    assert ImageCodec.fit(images(labels=(0, 0, 2, 2, 2))).layout.class_shares == pytest.approx((0.4, 0, 0.6))


@pytest.mark.parametrize("labels", [(0, 1, 1, 2, 1), None])
def test_decoding_what_was_encoded_gives_the_images_back(labels):
    original = images(labels)
    codec = ImageCodec.fit(original)
    encoded = codec.encode(original)
    assert encoded["image"].dtype == torch.uint8
    assert set(encoded) == ({"image"} if labels is None else {"image", "label"})
    decoded = codec.decode(encoded)
    np.testing.assert_array_equal(decoded.pixels, original.pixels)
    assert decoded.classes == original.classes
    if labels is not None:
        assert encoded["label"].dtype == torch.int64
        np.testing.assert_array_equal(decoded.labels, labels)


@pytest.mark.parametrize("labels", [(0, 1, 1, 2, 1), None])
def test_a_codec_survives_json(labels):
    codec = ImageCodec.fit(images(labels))
    again = ImageCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    assert again.layout == codec.layout
    assert again.classes == codec.classes
    assert again.to_dict()["kind"] == "image"


@pytest.mark.parametrize(
    ("wanted", "label", "known"),
    [
        ("dog", [1, 1, 1], [True, True, True]),
        (7, [2, 2, 2], [True, True, True]),  # names are text, also those that look like numbers
        (None, [0, 0, 0], [False, False, False]),
        (["7", None, "cat"], [2, 0, 0], [True, False, True]),
        (np.array(["dog", "cat", "dog"]), [1, 0, 1], [True, True, True]),
    ],
)
def test_a_condition_names_one_class_or_one_an_image(wanted, label, known):
    condition = ImageCodec.fit(images()).encode_condition({"label": wanted}, 3)
    assert condition["label"].tolist() == label
    assert condition["label_known"].tolist() == known


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"label": "dgo"}, r"condition\.label: unknown class 'dgo': did you mean 'dog'\?"),
        ({"label": ["dog", "cow", None]}, r"condition\.label: unknown class 'cow'"),
        ({"label": ["dog"]}, r"condition\.label: found 1 values for 3 images; expected one each"),
        ({"lable": "dog"}, r"condition\.lable: unknown: did you mean 'label'\?"),
    ],
)
def test_conditions_that_no_class_meets_are_refused(condition, message):
    with pytest.raises(SynthgenError, match=message):
        ImageCodec.fit(images()).encode_condition(condition, 3)


def test_images_without_labels_take_no_condition():
    with pytest.raises(SynthgenError, match=r"condition\.label: unknown: these images have no labels"):
        ImageCodec.fit(images(labels=None)).encode_condition({"label": "dog"}, 3)


# Attributes


def described(n=300):
    """Images with a flag and a number, each of which is not known of some images."""
    rng = np.random.default_rng(2)
    age = rng.normal(40, 10, n).round(1)
    flag = (age > 40).astype(float)
    flag[:20], age[20:50] = np.nan, np.nan
    attributes = np.stack([flag, age], axis=1).astype(np.float32)
    pixels = rng.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)
    return Images(pixels, rng.integers(0, 2, n), ("a", "b"), attributes, ("glasses", "age"))


def test_attributes_are_standardised_and_come_back():
    original = described()
    codec = ImageCodec.fit(original)
    assert [(one.name, one.flag) for one in codec.layout.attributes] == [("glasses", True), ("age", False)]
    encoded = codec.encode(original)["attributes"]
    assert encoded.dtype == torch.float32
    known = encoded[:, 1][~encoded[:, 1].isnan()]
    assert abs(known.mean()) < 1e-4
    assert abs(known.std(correction=0) - 1) < 1e-4
    decoded = codec.decode(codec.encode(original))
    np.testing.assert_allclose(decoded.attributes, original.attributes, atol=1e-4)
    assert decoded.names == original.names
    assert set(np.unique(decoded.attributes[20:, 0])) == {0, 1}


def test_described_images_hold_attributes_together_and_none_that_is_not_known():
    codec = ImageCodec.fit(described())
    rows = np.array(codec.layout.described)
    assert rows.shape == (300, 3)
    assert np.isfinite(rows).all()
    old = rows[:, 2] > 0.3
    assert ((rows[:, 1] > 0) == (rows[:, 2] > 0))[old].mean() > 0.8


def test_a_codec_with_attributes_survives_json():
    codec = ImageCodec.fit(described())
    again = ImageCodec.from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))
    assert again.layout == codec.layout


def test_a_condition_wants_attributes_of_all_images_or_of_each():
    codec = ImageCodec.fit(described())
    flag, age = codec.layout.attributes
    condition = codec.encode_condition({"age": [50, None], "glasses": True}, 2)
    assert condition["label_known"].tolist() == [False, False]
    expected = [[(1 - flag.mean) / flag.std, (50 - age.mean) / age.std], [(1 - flag.mean) / flag.std, np.nan]]
    np.testing.assert_allclose(condition["attributes"], expected, rtol=1e-5)
    frame = pd.DataFrame({"label": ["b", None], "age": [np.nan, 30.0]})
    condition = codec.encode_condition(frame, 2)
    assert condition["label_known"].tolist() == [True, False]
    assert condition["attributes"].isnan().tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"agee": 3}, r"condition.agee: unknown: .*age"),
        ({"age": "old"}, r"condition.age: found 'old', expected a number"),
        ({"glasses": 2}, r"condition.glasses: found 2, expected 0 or 1"),
        ({"age": [1, 2, 3]}, r"condition.age: found 3 values for 2 images"),
    ],
)
def test_conditions_on_attributes_that_cannot_be_are_named(condition, message):
    with pytest.raises(SynthgenError, match=message):
        ImageCodec.fit(described()).encode_condition(condition, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda layout: layout["attributes"][0].update(std=0.0),
        lambda layout: layout["described"].append([0.0, 1.0]),
        lambda layout: layout["described"].append([7.0, 1.0, 1.0]),
    ],
)
def test_damaged_attributes_are_refused(damage):
    stored = json.loads(json.dumps(ImageCodec.fit(described()).to_dict()))
    damage(stored["layout"])
    with pytest.raises(SynthgenError, match=r"attributes: found|described: found"):
        ImageCodec.from_dict(stored)


def test_a_column_of_classes_that_are_numbers_may_have_free_cells():
    frame = pd.DataFrame({"label": [7, np.nan, 7]})
    condition = ImageCodec.fit(images()).encode_condition(frame, 3)
    assert condition["label"].tolist() == [2, 0, 2]
    assert condition["label_known"].tolist() == [True, False, True]
