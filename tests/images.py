"""Real images that come with scikit-learn."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from synthgen.metrics.image.classifier import DomainClassifier, train_classifier

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]


@cache
def digits() -> tuple[Images, Images]:
    """1437 training and 360 held-out handwritten digits, shape (N, 1, 8, 8), with labels."""
    data = load_digits()
    images = np.round(data.images * 255 / 16).astype(np.uint8)[:, None]
    a, b, labels_a, labels_b = train_test_split(
        images, data.target, test_size=0.2, random_state=0, stratify=data.target
    )
    return (a, labels_a), (b, labels_b)


@cache
def digits_classifier() -> DomainClassifier:
    """Trained on the training digits, once for all tests."""
    (images, labels), _ = digits()
    return train_classifier(images, labels, 10, name="digits")
