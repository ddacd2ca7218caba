import math

import torch

from synthgen.networks.embeddings import FourierFeatures


def test_features_are_cosines_and_sines_at_geometric_frequencies():
    features = FourierFeatures(6, lowest=0.5, highest=8.0)(torch.tensor([0.0, 0.3]))
    assert features.shape == (2, 6)
    for row, x in zip(features, (0.0, 0.3), strict=True):
        angles = [2 * math.pi * frequency * x for frequency in (0.5, 2.0, 8.0)]
        expected = [math.cos(angle) for angle in angles] + [math.sin(angle) for angle in angles]
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-5, rtol=0)


def test_features_of_half_precision_times_are_single_precision():
    assert FourierFeatures(8, 0.25, 64.0)(torch.tensor([0.5], dtype=torch.bfloat16)).dtype == torch.float32


def test_frequencies_are_no_weights():
    assert FourierFeatures(8, 0.25, 64.0).state_dict() == {}
