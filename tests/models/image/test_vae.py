"""The VAE on images and on models whose evidence is known."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import synthgen
from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.image.vae import LIKELIHOODS, VAE, Likelihood
from synthgen.models.stages import EMA, Optimization
from synthgen.models.variational import gaussian_nll
from synthgen.networks.conv_vae import ConvDecoder, ConvEncoder
from tests.models.image.toys import (
    check_greys,
    check_learned_by_heart,
    check_on_cuda,
    check_same_after_loading,
    check_unlabelled,
    eight,
    two_greys,
)

SMALL = ["network.encoder.width=8", "network.decoder.width=8", "network.decoder.blocks=1", "model.latent=4"]
SMALL += ["model.optimization.lr=0.005", "model.optimization.warmup=1000", "callbacks=none", "trainer=cpu"]


@pytest.fixture(scope="module")
def fitted():
    images, labels = two_greys()
    return synthgen.fit(images, "image/vae", labels=labels, max_samples=8_000, batch_size=16, overrides=SMALL)


def test_each_class_has_its_own_images_as_often_as_in_training(fitted):
    check_greys(fitted)


def test_saved_and_loaded_it_draws_the_same(fitted, tmp_path):
    check_same_after_loading(fitted, tmp_path / "greys")


@pytest.mark.parametrize("shape", [(3, 16, 16), (5, 20, 28)])
def test_eight_images_are_learned_by_heart(shape):
    images, labels = eight(*shape)
    fitted = synthgen.fit(images, "image/vae", labels=labels, max_samples=5_000, batch_size=16, overrides=SMALL)
    check_learned_by_heart(fitted, images, within=30)


def test_images_need_no_labels():
    check_unlabelled("image/vae", SMALL)


def test_bf16_and_bernoulli_go_together():
    images, labels = two_greys()
    overrides = [*SMALL, "trainer.precision=bf16-mixed", "model.likelihood=bernoulli", "model.free_bits=0.1"]
    fitted = synthgen.fit(images, "image/vae", labels=labels, max_samples=3200, batch_size=32, overrides=overrides)
    dark, light = (fitted.sample(32, condition={"label": label}).pixels.mean() for label in "01")
    assert dark + 60 < light


@pytest.mark.gpu
def test_on_cuda():
    check_on_cuda("image/vae", SMALL)


# The bound


class Linear(nn.Module):
    """Encoder and decoder of x = W z + b + noise of variance `variance`, z standard normal; the exact posterior."""

    def __init__(self, weight, bias, variance, shape):
        super().__init__()
        self.weight, self.bias, self.variance, self.shape = weight, bias, variance, shape
        precision = torch.eye(weight.shape[1]) + weight.T @ weight / variance
        self.covariance = torch.linalg.inv(precision)
        self.shift = torch.zeros(weight.shape[1])

    def encoder(self, x, label):
        mean = (x.flatten(1) - self.bias) @ self.weight @ self.covariance / self.variance + self.shift
        return mean, self.covariance.diagonal().log().expand_as(mean)

    def decoder(self, latent, label):
        return (latent @ self.weight.T + self.bias).unflatten(1, self.shape)


def linear_gaussian():
    """A VAE of four pixels and two latents. W's columns are orthogonal, so the posterior factorises."""
    weight = torch.tensor([[0.5, 0.3], [0.5, -0.3], [0.4, 0.3], [-0.4, 0.3]])
    weight[:, 1] -= weight[:, 0] * (weight[:, 0] @ weight[:, 1]) / (weight[:, 0] @ weight[:, 0])
    network = Linear(weight, torch.tensor([0.1, 0.0, -0.1, 0.2]), 0.05, (1, 2, 2))
    gaussian = Likelihood(
        1, lambda x, mean: gaussian_nll(x, mean, torch.full_like(mean, math.log(0.05))), lambda mean: mean
    )
    vae = model(latent=2, size=2)
    vae.likelihood = gaussian
    vae.stages[0].average = network
    return vae, network


def test_the_bound_of_a_linear_gaussian_model_is_its_evidence_and_below_it_with_another_posterior():
    """Evidence: N(b, W Wᵀ + variance), in closed form. The bound is a mean over many draws of the latent."""
    vae, network = linear_gaussian()
    images = torch.randint(0, 256, (3, 1, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    covariance = network.weight @ network.weight.T + 0.05 * torch.eye(4)
    evidence = torch.distributions.MultivariateNormal(network.bias, covariance)
    exact = -evidence.log_prob(images.flatten(1).float() / 127.5 - 1) / (4 * math.log(2))
    many = {"image": images.repeat_interleave(20_000, dim=0)}
    vae.block_size = 60_000

    def bound():
        drawn = vae.bits_per_dim(many).unflatten(0, (3, 20_000))
        return drawn.mean(dim=1), float(drawn.std(dim=1).max()) / math.sqrt(20_000)

    estimate, error = bound()
    torch.testing.assert_close(estimate, exact, rtol=0, atol=5 * error)
    network.shift = torch.tensor([0.2, -0.1])
    other, _ = bound()
    # KL(q ‖ posterior) of normals that differ in their mean: half the squared distance, in posterior deviations.
    gap = (network.shift.square() / network.covariance.diagonal()).sum() / 2 / (4 * math.log(2))
    torch.testing.assert_close(other - exact, gap.expand(3), rtol=0, atol=10 * error)


def test_the_bound_of_discretised_images_lies_above_their_code_length_by_quadrature():
    """One latent: −log2 ∫ N(z; 0, 1) p(x | z) dz is summed over a fine grid of z."""
    torch.manual_seed(0)
    vae = model(latent=1)
    network = awake(vae.stages[0].average)
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    grid = torch.linspace(-6, 6, 2001)[:, None]
    with torch.no_grad():
        output = network.decoder(grid, None)
        log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid[:, 0])
        exact = []
        for image in images.float() / 127.5 - 1:
            log_joint = log_prior - vae.likelihood.nll(image.expand(2001, -1, -1, -1), output).flatten(1).sum(dim=1)
            exact.append(-(log_joint.logsumexp(0) + math.log(12 / 2000)) / (64 * math.log(2)))
    bound = vae.bits_per_dim({"image": images.repeat_interleave(500, dim=0)}).unflatten(0, (2, 500)).mean(dim=1)
    gap = bound - torch.stack(exact)
    assert (gap > -0.005).all()
    assert (gap < 0.5).all()


def test_validation_is_the_bound_whatever_training_weighs():
    batch = {"image": torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8)}

    def losses(**settings):
        stage = model(**settings).stages[0]
        loss = stage.loss(awake(stage.trained), batch, torch.Generator().manual_seed(3))
        return float(loss), float(stage.validation_loss(batch, torch.Generator().manual_seed(3)))

    plain, bound = losses()
    heavy, bound_of_heavy = losses(beta=4.0)
    free, bound_of_free = losses(free_bits=2.0)
    assert bound == pytest.approx(plain)
    assert bound == pytest.approx(bound_of_heavy)
    assert bound == pytest.approx(bound_of_free)
    # Every dimension says less than its two free bits here, and costs them all the same.
    divergence = (heavy - plain) / 3
    assert 0 < divergence < 4 * 2 / 64
    assert free == pytest.approx(plain - divergence + 4 * 2 / 64, rel=1e-4)


def test_bits_per_dim_do_not_depend_on_what_else_is_measured(fitted):
    drawn = fitted.codec.encode(fitted.sample(100))
    whole = fitted.model.bits_per_dim(drawn, seed=1)
    assert whole.shape == (100,)
    first = fitted.model.bits_per_dim({name: value[:64] for name, value in drawn.items()}, seed=1)
    torch.testing.assert_close(whole[:64], first)
    wrong = {**drawn, "label": 1 - drawn["label"]}
    assert whole.mean() < 5 < fitted.model.bits_per_dim(wrong).mean()


def test_likelihoods_put_their_middle_where_they_say():
    output = torch.tensor([0.3, -2.0, 1.5])[None, :, None, None]
    logistic = LIKELIHOODS["discretised_logistic"]
    both = torch.cat([output, torch.zeros_like(output)], dim=1)
    assert logistic.middle(both).flatten().tolist() == pytest.approx([0.3, -1, 1])
    bernoulli = LIKELIHOODS["bernoulli"]
    assert bernoulli.middle(output).flatten().numpy() == pytest.approx(np.tanh([0.15, -1.0, 0.75]), abs=1e-6)
    white = bernoulli.nll(torch.ones_like(output), output).flatten()
    torch.testing.assert_close((-white).exp(), (bernoulli.middle(output).flatten() + 1) / 2)


def test_an_unknown_likelihood_is_told_with_the_nearest():
    with pytest.raises(SynthgenError, match=r"model.likelihood: unknown 'bernouli'.*bernoulli"):
        model(likelihood="bernouli")


def model(latent=4, size=8, **settings):
    torch.manual_seed(0)
    networks = partial(ConvEncoder, width=8), partial(ConvDecoder, width=8)
    return VAE(ImageLayout(1, size, size), *networks, Optimization(), EMA(), latent=latent, **settings)


def awake(network):
    """Layers that begin at zero are set to noise, so that they pass something on."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network
