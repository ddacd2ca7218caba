import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

import synthgen
from synthgen.layout import TableLayout
from synthgen.models.table.features import RowFeatures
from synthgen.models.table.tvae import RowCoder, row_bound
from tests.models.table.toys import check_joint, check_number, check_rejection, two_words_and_a_number

NOISE = 0.5
# Orthogonal columns, so that the posterior's covariance is diagonal.
LOADINGS = torch.tensor([[1.0, 0.3], [-1.0, 0.3], [0.0, 0.7], [0.5, 0.0]])
LOADINGS[3, 1] = -(LOADINGS[:3, 0] @ LOADINGS[:3, 1]) / LOADINGS[3, 0]
LAYOUT = TableLayout(4, ())


class Linear(nn.Module):
    """Decoder of probabilistic principal components, or the exact posterior of its latents with something off it."""

    def __init__(self, encodes, off=0.0):
        super().__init__()
        self.encodes = encodes
        self.off = off

    def forward(self, x):
        if not self.encodes:
            return x @ LOADINGS.T
        precision = 1 + (LOADINGS**2).sum(dim=0) / NOISE**2
        mean = x @ LOADINGS / NOISE**2 / precision + self.off
        return torch.cat([mean, -precision.log().expand_as(mean) + self.off], dim=1)


def bound(off, row, draws=40_000):
    coder = RowCoder(Linear(encodes=True, off=off), Linear(encodes=False), numbers=4)
    with torch.no_grad():
        coder.logvar.fill_(2 * math.log(NOISE))
    batch = {"numerical": row.expand(draws, -1), "categorical": torch.zeros(draws, 0, dtype=torch.int32)}
    with torch.no_grad():
        parts = row_bound(coder, RowFeatures(LAYOUT), batch, torch.Generator().manual_seed(0))
    return float(sum(parts).mean())


@pytest.mark.parametrize("row", [[0.3, -1.0, 0.8, 2.0], [0.0, 0.0, 0.0, 0.0]])
def test_the_bound_is_the_evidence_where_the_posterior_is_exact_and_above_it_elsewhere(row):
    covariance = (LOADINGS @ LOADINGS.T + NOISE**2 * torch.eye(4)).numpy()
    evidence = -multivariate_normal.logpdf(np.array(row), np.zeros(4), covariance)
    assert bound(0.0, torch.tensor(row)) == pytest.approx(evidence, abs=0.02)
    for off in (-0.4, 0.2):
        assert bound(off, torch.tensor(row)) > evidence + 0.05


@pytest.fixture(scope="module")
def fitted():
    overrides = ["network.widths=[64,64]", "model.latent=8", "callbacks=none", "trainer=cpu"]
    return synthgen.fit(
        two_words_and_a_number(), "table/tvae", max_samples=400_000, batch_size=500, overrides=overrides
    )


def test_the_joint_of_two_categories_is_learned(fitted):
    check_joint(fitted, within=0.06)


def test_a_number_follows_its_category(fitted):
    # Latents between the two modes decode to either word, which blurs what separates them.
    check_number(fitted, mean_within=0.6)


def test_conditions_are_met_by_rejection_and_the_rate_is_counted(fitted):
    check_rejection(fitted, rate_within=0.06, mean_within=0.6)


def test_the_validation_loss_is_the_bound_whatever_weight_training_gives_the_divergence():
    coder, features = RowCoder(Linear(True, 0.2), Linear(False), numbers=4), RowFeatures(LAYOUT)
    from synthgen.models.stages import EMA, Optimization
    from synthgen.models.table.tvae import TVAE
    from synthgen.networks.mlp import MLP

    model = TVAE(LAYOUT, MLP, Optimization(), EMA(), latent=2, beta=0.1)
    batch = {"numerical": torch.randn(64, 4), "categorical": torch.zeros(64, 0, dtype=torch.int32)}

    def seeded():
        return torch.Generator().manual_seed(0)

    reconstruction, divergence = (part.mean() for part in row_bound(coder, features, batch, seeded()))
    stage = model.stages[1]
    assert stage.loss(coder, batch, seeded()).item() == pytest.approx((reconstruction + 0.1 * divergence).item())
    assert stage.validation(coder, batch, seeded()).item() == pytest.approx((reconstruction + divergence).item())
