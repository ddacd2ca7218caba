import pytest
import torch
from torch.nn import functional

from synthgen.networks.conv_vae import ConvDecoder, ConvEncoder

SHAPES = [(1, 8, 8), (3, 17, 23), (5, 20, 28), (1, 3, 3)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(kind, shape, classes=0, **settings):
    """Awake: layers that begin at zero are set to noise, so that they pass something on."""
    torch.manual_seed(0)
    made = kind(*shape, **{"latent": 6, "classes": classes, "width": 8, **settings})
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return made


def labels(classes):
    return torch.arange(4) % classes if classes else None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("blocks", [1, 2])
def test_images_of_any_shape_become_latents_and_latents_images(shape, classes, blocks):
    x = torch.randn(4, *shape, generator=seeded())
    mean, logvar = network(ConvEncoder, shape, classes, blocks=blocks)(x, labels(classes))
    assert mean.shape == logvar.shape == (4, 6)
    assert network(ConvDecoder, shape, classes, blocks=blocks)(mean, labels(classes)).shape == (4, *shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_reach_every_parameter(shape):
    encoder, decoder = network(ConvEncoder, shape, 3), network(ConvDecoder, shape, 3)
    mean, logvar = encoder(torch.randn(4, *shape, generator=seeded()), labels(3))
    decoder(mean + logvar, labels(3)).square().sum().backward()
    for made in (encoder, decoder):
        assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_a_new_encoder_says_the_prior(shape):
    torch.manual_seed(0)
    mean, logvar = ConvEncoder(*shape, latent=6, width=8)(torch.randn(4, *shape, generator=seeded()))
    assert not mean.any()
    assert not logvar.any()


def test_every_image_has_its_own_latent_and_class():
    encoder, decoder = network(ConvEncoder, (3, 17, 23), 3), network(ConvDecoder, (3, 17, 23), 3)
    x = torch.randn(4, 3, 17, 23, generator=seeded())
    mean, _ = encoder(x, labels(3))
    output = decoder(mean, labels(3))
    for i in range(4):
        one = slice(i, i + 1)
        torch.testing.assert_close(mean[one], encoder(x[one], labels(3)[one])[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(output[one], decoder(mean[one], labels(3)[one]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mean, encoder(x, labels(3).roll(1))[0])
    assert not torch.allclose(output, decoder(mean, labels(3).roll(1)))


def test_padding_repeats_the_lower_and_right_edges():
    x = torch.randn(4, 3, 17, 23, generator=seeded())
    padded = functional.pad(x, (0, 1, 0, 3), mode="replicate")
    one, other = network(ConvEncoder, (3, 17, 23)), network(ConvEncoder, (3, 20, 24))
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(x), other(padded))
