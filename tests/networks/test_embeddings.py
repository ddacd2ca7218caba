import math

import torch

from synthgen.networks.embeddings import AttributeEmbedding, FourierFeatures


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


# Attributes


def embedding(attributes=2, features=64):
    torch.manual_seed(0)
    return AttributeEmbedding(attributes, features)


def test_nothing_told_is_the_zero_vector_whatever_stands_in_its_place():
    told = torch.tensor([[0.0, 7.0, 0.0, 0.0]])
    assert (embedding()(told) == 0).all()


def test_what_is_told_of_one_attribute_adds_to_what_is_told_of_others():
    network, one, other = embedding(), torch.tensor([[0.5, 0, 1, 0]]), torch.tensor([[0, -2.0, 0, 1]])
    both = torch.tensor([[0.5, -2.0, 1, 1]])
    torch.testing.assert_close(network(both), network(one) + network(other))


def test_a_value_of_0_is_not_nothing_and_vectors_are_as_large_as_those_of_classes():
    vectors = embedding(features=512)(torch.tensor([[0, 0, 1.0, 1.0], [1.0, -0.7, 1, 1]]))
    assert ((vectors.std(dim=1) > 0.5) & (vectors.std(dim=1) < 1.5)).all()
