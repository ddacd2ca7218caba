import pytest
import torch

from synthgen.networks.dcgan import DCGANDiscriminator, DCGANGenerator

SHAPES = [(1, 8, 8), (3, 17, 23), (5, 20, 28), (1, 3, 3), (3, 64, 32)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def generator(shape, classes=0, **settings):
    torch.manual_seed(0)
    return DCGANGenerator(*shape, classes, **{"latent": 6, "width": 8, **settings})


def discriminator(shape, classes=0, **settings):
    torch.manual_seed(0)
    return DCGANDiscriminator(*shape, classes, **{"width": 8, **settings})


def labels(classes):
    return torch.arange(4) % classes if classes else None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [0, 3])
def test_images_of_any_shape_are_made_and_scored(shape, classes):
    images = generator(shape, classes)(torch.randn(4, 6, generator=seeded()), labels(classes))
    assert images.shape == (4, *shape)
    assert images.abs().max() <= 1
    scores = discriminator(shape, classes)(images, labels(classes))
    assert scores.shape == (4,)
    scores.sum().backward()


@pytest.mark.parametrize(("shape", "grid"), [((1, 28, 28), (7, 7)), ((5, 20, 28), (5, 7)), ((3, 64, 32), (8, 4))])
def test_the_base_grid_has_4_to_7_positions_on_its_shorter_side(shape, grid):
    assert generator(shape).grid == grid


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_reach_every_parameter(shape):
    make, judge = generator(shape, 3), discriminator(shape, 3)
    judge(make(torch.randn(4, 6, generator=seeded()), labels(3)), labels(3)).square().sum().backward()
    for network in (make, judge):
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_sample_depends_on_its_own_latent_and_class_alone():
    network = generator((3, 12, 12), 3)
    latent = torch.randn(4, 6, generator=seeded())
    for _ in range(20):  # running statistics that are not those of a new network
        network(torch.randn(32, 6), torch.arange(32) % 3)
    network.eval()
    together = network(latent, labels(3))
    for i in range(4):
        torch.testing.assert_close(together[i : i + 1], network(latent[i : i + 1], labels(3)[i : i + 1]))
    assert not torch.allclose(together[0], network(latent, labels(3).roll(-1))[0])


def test_singular_values_are_1_after_some_passes_and_stay_as_they_are_in_evaluation():
    network = discriminator((3, 20, 20), 4)
    x = torch.randn(4, 3, 20, 20, generator=seeded())
    for _ in range(200):
        network(x, labels(4))
    network.eval()
    for layer in (*network.convs, network.score, network.label):
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scores = network(x, labels(4))
    torch.testing.assert_close(scores, network(x, labels(4)), rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_are_normalised_in_full_precision_and_once_a_pass():
    network = discriminator((1, 8, 8), 3)
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(4, 1, 8, 8, generator=seeded()), labels(3))
    steps = []
    for layer in (*network.convs, network.score):
        norm = layer.parametrizations.weight[0]
        assert norm._u.dtype == torch.float32
        norm.register_forward_hook(lambda *_: steps.append(1))
    network(torch.randn(4, 1, 8, 8, generator=seeded()), labels(3))
    assert len(steps) == len(network.convs) + 1


def test_the_projection_is_the_inner_product_of_features_and_class():
    """Miyato and Koyama, 2018: the score of two classes differs by what their embeddings say of the same features."""
    network = discriminator((1, 8, 8), 3).eval()
    x = torch.randn(4, 1, 8, 8, generator=seeded())
    features = []
    handle = network.score.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
    scores = [network(x, torch.full((4,), label)) for label in (0, 2)]
    handle.remove()
    embedding = network.label.weight
    torch.testing.assert_close(scores[1] - scores[0], features[0] @ (embedding[2] - embedding[0]))


def test_gradients_of_gradients_pass_through():
    network = discriminator((1, 8, 8), 3)
    x = torch.randn(4, 1, 8, 8, generator=seeded()).requires_grad_()
    (gradient,) = torch.autograd.grad(network(x, labels(3)).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is not None for name, p in network.named_parameters() if name.endswith("original"))
