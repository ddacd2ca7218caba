import pytest
import torch
from torch.nn import functional

from synthgen.networks.unet import UNet

SHAPES = [(1, 8, 8), (3, 17, 23), (5, 20, 28)]


def unet(channels, classes=0, *, awake=True, **settings):
    """A small network; awake, its zero-initialised layers are set to noise so that they pass something on."""
    torch.manual_seed(0)
    network = UNet(channels, classes, **{"size": 28, "width": 8, "blocks": 1, "attention": (1,), **settings}).eval()
    if awake:
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return network


def images(channels, height, width, n=3):
    return torch.randn(n, channels, height, width, generator=torch.Generator().manual_seed(1))


NOISE = torch.tensor([-1.0, 0.0, 1.0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize("patch_size", ["auto", 1, 2])
def test_output_has_the_shape_of_the_image(shape, classes, patch_size):
    network = unet(shape[0], classes, patch_size=patch_size)
    label = torch.tensor([0, 3, 4]) if classes else None
    output = network(images(*shape), NOISE, label)
    assert output.shape == (3, *shape)
    assert torch.isfinite(output).all()
    assert output.std() > 0


@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 2, 2)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_levels_and_blocks_come_in_any_number(multipliers, blocks):
    network = unet(2, multipliers=multipliers, blocks=blocks, attention=())
    assert network(images(2, 9, 7), NOISE).shape == (3, 2, 9, 7)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 50, 100, 112])
def test_widths_need_not_be_multiples_of_anything(width):
    network = unet(1, width=width, attention=(0, 1))
    assert network(images(1, 4, 4), NOISE).shape == (3, 1, 4, 4)


def test_patches_are_larger_for_larger_images():
    assert [UNet(1, size=size, width=4).patch for size in (8, 16, 17, 64)] == [1, 1, 2, 2]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_new_network_gives_0(shape):
    network = unet(shape[0], 4, awake=False)
    assert (network(images(*shape), NOISE, torch.tensor([0, 1, 2])) == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_repeats_the_lower_and_right_edges(shape):
    network = unet(shape[0])
    x = images(*shape)
    height, width = (-(-side // network.stride) * network.stride for side in shape[1:])
    padded = functional.pad(x, (0, width - shape[2], 0, height - shape[1]), mode="replicate")
    torch.testing.assert_close(network(x, NOISE), network(padded, NOISE)[:, :, : shape[1], : shape[2]])


def test_no_label_is_the_label_behind_the_last_class():
    network, x = unet(3, 4), images(3, 8, 8)
    nothing = network(x, NOISE, None)
    torch.testing.assert_close(nothing, network(x, NOISE, torch.full((3,), 4)))
    for label in range(4):
        assert not torch.allclose(nothing, network(x, NOISE, torch.full((3,), label)))


def test_every_image_follows_its_own_noise_level_and_label():
    network, x, label = unet(3, 4), images(3, 8, 8), torch.tensor([2, 0, 4])
    together = network(x, NOISE, label)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], network(x[i : i + 1], NOISE[i : i + 1], label[i : i + 1]))
    assert not torch.allclose(together[:1], network(x[:1], NOISE[2:], label[:1]))


@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 0), ((3, 17, 23), 4)])
def test_gradients_reach_every_parameter(shape, classes):
    network = unet(shape[0], classes).train()
    label = torch.tensor([0, 1, 2]) if classes else None
    network(images(*shape), NOISE, label).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1 and name != "label.weight":
            assert parameter.grad.flatten(1).any(dim=1).all(), f"{name} has features that change nothing"


def test_the_deepest_features_see_the_whole_image():
    network, x = unet(1, size=16, multipliers=(1,), attention=()), images(1, 40, 40, n=1).requires_grad_()
    network(x, NOISE[:1])[0, 0, 0, 0].backward()
    assert x.grad[0, 0, 39, 39] != 0, "no convolution reaches from corner to corner here"


@pytest.mark.parametrize(("attention", "expected"), [((), 1), ((0,), 1 + 3), ((1,), 1 + 3), ((0, 1), 1 + 6)])
def test_attention_follows_every_block_of_the_chosen_levels(attention, expected):
    layers = unet(1, multipliers=(1, 2), blocks=1, attention=attention).modules()
    assert sum(type(layer).__name__ == "_Attention" for layer in layers) == expected


def test_dropout_is_drawn_in_training_alone():
    network, x = unet(1, dropout=0.5), images(1, 8, 8)
    torch.testing.assert_close(network(x, NOISE), network(x, NOISE))
    network.train()
    assert not torch.allclose(network(x, NOISE), network(x, NOISE))


def test_channels_last_and_contiguous_images_give_the_same():
    network, x = unet(3), images(3, 8, 8)
    torch.testing.assert_close(
        network(x, NOISE), network(x.contiguous(memory_format=torch.channels_last), NOISE), rtol=1e-4, atol=1e-5
    )
