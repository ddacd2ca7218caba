import pytest
import torch

from synthgen.diffusion.preconditioning import edm_loss, edm_preconditioning

SIGMAS = torch.logspace(-3, 2, 30, dtype=torch.float64)


@pytest.mark.parametrize("sigma_data", [0.05, 0.5, 1.0, 3.0])
def test_the_network_sees_and_predicts_unit_variance_at_every_noise_level(sigma_data):
    """With Var x0 = sigma_data² and Var x = sigma_data² + sigma²; the network's target is (x0 − skip · x) / out."""
    scale = edm_preconditioning(SIGMAS, sigma_data)
    ones = torch.ones_like(SIGMAS)
    torch.testing.assert_close(scale.into**2 * (sigma_data**2 + SIGMAS**2), ones)
    target = (1 - scale.skip) ** 2 * sigma_data**2 + scale.skip**2 * SIGMAS**2
    torch.testing.assert_close(target / scale.out**2, ones)


@pytest.mark.parametrize("sigma_data", [0.05, 0.5, 3.0])
def test_the_skip_leaves_the_network_the_least_to_do(sigma_data):
    """out² is smallest where the target is uncorrelated with x: (1 − skip) · sigma_data² = skip · sigma²."""
    scale = edm_preconditioning(SIGMAS, sigma_data)
    torch.testing.assert_close((1 - scale.skip) * sigma_data**2, scale.skip * SIGMAS**2)


def test_scalings_take_a_sigma_data_a_column_and_have_the_shape_of_sigma():
    sigma, sigma_data = torch.rand(5, 3) + 0.1, torch.tensor([0.5, 1.0, 2.0])
    together = edm_preconditioning(sigma, sigma_data)
    for column in range(3):
        alone = edm_preconditioning(sigma[:, column], float(sigma_data[column]))
        for wide, narrow in zip(together, alone, strict=True):
            torch.testing.assert_close(wide[:, column], narrow)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 10.0])
def test_the_loss_of_the_optimal_denoiser_of_a_gaussian_is_1_at_every_noise_level(sigma):
    """D = skip · x is optimal for N(0, sigma_data²): its error is sigma_data² sigma² / (sigma_data² + sigma²)."""
    sigma_data = 0.5
    generator = torch.Generator().manual_seed(0)
    clean = sigma_data * torch.randn(400_000, generator=generator)
    x = clean + sigma * torch.randn(400_000, generator=generator)
    denoised = sigma_data**2 / (sigma_data**2 + sigma**2) * x
    loss = edm_loss(denoised, clean, torch.tensor(sigma), sigma_data)
    assert loss.mean() == pytest.approx(1, abs=0.01)  # the mean of chi-squares: four standard errors are 0.009


def test_the_loss_weighs_an_error_as_equation_8_says():
    denoised, clean = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 4.0]])
    loss = edm_loss(denoised, clean, torch.tensor([[2.0]]), 0.5)
    torch.testing.assert_close(loss, torch.tensor([[0.25, 4.0]]) * (4 + 0.25) / (2 * 0.5) ** 2)


def test_the_loss_is_computed_in_single_precision():
    clean = torch.zeros(4)
    loss = edm_loss(torch.full((4,), 1e-3, dtype=torch.bfloat16), clean, torch.tensor(1.0), 1.0)
    assert loss.dtype == torch.float32
