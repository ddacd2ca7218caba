"""TabDiff on tables whose joint distribution is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import synthgen
from synthgen.diffusion.schedules import MaskSchedule, PowerMeanSchedule
from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.stages import EMA, Optimization
from synthgen.models.table.tabdiff import TabDiff, TableDenoiser, first_hitting_sampler, tabdiff_loss
from synthgen.networks.ragged import RaggedLogits
from synthgen.networks.table_mlp import TableMLP
from tests.models.table.toys import JOINT, check_joint, check_number, two_words_and_a_number


@pytest.fixture(scope="module")
def fitted():
    return synthgen.fit(
        two_words_and_a_number(),
        "table/tabdiff",
        max_samples=300_000,
        batch_size=512,
        overrides=["network.width=192", "network.depth=2", "network.dropout=0", "callbacks=none", "trainer=cpu"],
    )


def test_the_joint_of_two_categories_is_learned(fitted):
    check_joint(fitted, within=0.03)


def test_a_number_follows_its_category(fitted):
    # Where numbers learn too little of words, those of one leak into the other's mode: 1.15 with noise up to level 80,
    # on half of which there is nothing to learn, and weights that forget within 1,000 steps.
    check_number(fitted, mean_within=0.12, std=(0.88, 1.12))


def test_a_condition_gives_the_conditional_distribution(fitted):
    fake = fitted.sample(6000, condition={"a": "low"})
    wanted = JOINT[0] / JOINT[0].sum()
    learned = fake["b"].value_counts(normalize=True).loc[list("pqr")].to_numpy()
    assert np.abs(learned - wanted).sum() / 2 < 0.04
    assert abs(fake["x"].mean()) < 0.15


def test_few_steps_keep_dependent_columns_dependent():
    """Two equal columns: no number of steps may reveal them at once, or they would differ."""
    values = np.random.default_rng(0).integers(0, 4, 2000)
    frame = pd.DataFrame(
        {"a": values.astype(str), "b": values.astype(str), "x": np.random.default_rng(1).normal(size=2000)}
    )
    overrides = ["network.width=32", "network.depth=2", "network.dropout=0", "callbacks=none", "trainer=cpu"]
    fake = synthgen.fit(frame, "table/tabdiff", max_samples=200_000, batch_size=256, overrides=overrides).sample(
        2000, steps=2
    )
    assert (fake["a"] == fake["b"]).mean() > 0.97


class KnownJoint(nn.Module):
    """The exact network for JOINT: logits of the true conditionals, and no numbers."""

    def forward(self, numerical, codes, time):
        joint = torch.tensor(JOINT, dtype=torch.float32)
        a, b = codes[:, 0], codes[:, 1]
        p_a = torch.where((b < 3)[:, None], joint[:, b.clamp(max=2)].T, joint.sum(1).expand(len(codes), -1))
        p_b = torch.where((a < 2)[:, None], joint[a.clamp(max=1)], joint.sum(0).expand(len(codes), -1))
        return numerical, torch.cat([p_a.log(), p_b.log()], dim=1)


def exact_denoiser():
    return TableDenoiser(KnownJoint(), PowerMeanSchedule(0, 0.002, 80.0), MaskSchedule(2), RaggedLogits((2, 3)))


def test_the_sampler_is_exact_for_the_exact_network():
    generator = torch.Generator().manual_seed(0)
    drawn = first_hitting_sampler(exact_denoiser(), TableLayout(0, (2, 3)), 60_000, 5, generator)["categorical"]
    counts = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=6).numpy() / 60_000
    assert np.abs(counts - JOINT.ravel()).max() < 4 * np.sqrt(0.25 / 60_000)


class KnownNormal(nn.Module):
    """The exact network for independent normal numbers of these standard deviations, and a cell that tells nothing."""

    def __init__(self, spread):
        super().__init__()
        self.spread = spread

    def forward(self, numerical, sigma, codes, time):
        return numerical * self.spread**2 / (self.spread**2 + sigma**2), torch.zeros(len(codes), 2)

    noise = PowerMeanSchedule(3, 0.002, 20.0, 7.0)
    masking = MaskSchedule(1)
    logits = RaggedLogits((2,))


@torch.no_grad()
def test_15_steps_solve_the_ode_of_numbers():
    denoiser = KnownNormal(torch.tensor([1.0, 0.3, 0.05])).eval()
    generator = torch.Generator().manual_seed(0)
    drawn = first_hitting_sampler(denoiser, TableLayout(3, (2,)), 40_000, 15, generator)["numerical"]
    assert drawn.std(dim=0).numpy() == pytest.approx(denoiser.spread.numpy(), rel=0.02)


@torch.no_grad()
def test_numbers_start_with_their_own_variance_besides_that_of_the_noise():
    """Noise alone, of level 0.5, would end as numbers with a standard deviation of 0.45."""
    denoiser = KnownNormal(torch.ones(3)).eval()
    denoiser.noise = PowerMeanSchedule(3, 0.002, 0.5, 7.0)
    generator = torch.Generator().manual_seed(0)
    drawn = first_hitting_sampler(denoiser, TableLayout(3, (2,)), 40_000, 30, generator)["numerical"]
    assert drawn.std(dim=0).numpy() == pytest.approx(np.ones(3), rel=0.02)


def test_the_loss_of_the_exact_network_is_the_entropy():
    """The evidence bound is tight for the true conditionals: its mean is the entropy of the joint, in nats."""
    generator = torch.Generator().manual_seed(0)
    cell = torch.multinomial(torch.tensor(JOINT.ravel()), 400_000, replacement=True, generator=generator)
    batch = {"numerical": torch.zeros(400_000, 0), "categorical": torch.stack([cell // 3, cell % 3], dim=1)}
    loss = tabdiff_loss(exact_denoiser(), batch, generator)
    assert float(loss.detach()) == pytest.approx(-(JOINT * np.log(JOINT)).sum(), abs=0.02)


def test_settings_that_cannot_be_are_refused():
    for options, message in (
        ({"sigma_min": 0.0}, "sigma_min: found 0.0"),
        ({"sigma_max": 0.001}, "sigma_max: found 0.001"),
        ({"rho": 4.0}, "rho: found 4.0 with rho_min=5.0"),
        ({"steps": 0}, "steps: found 0"),
    ):
        with pytest.raises(SynthgenError, match=message):
            TabDiff(TableLayout(1, (2,)), TableMLP, Optimization(), EMA(), **options)


def test_a_block_takes_15_evaluations_and_one_for_each_discrete_variable(people):
    """50, by Euler's method, made no better rows of Adult or Magic."""
    overrides = ["network.width=32", "network.depth=1", "callbacks=none", "trainer=cpu"]
    synthesizer = synthgen.fit(people, "table/tabdiff", max_samples=1024, batch_size=128, overrides=overrides)
    model, calls = synthesizer.model, []
    model.stages[0].trained.network.register_forward_hook(lambda *_: calls.append(1))
    synthesizer.sample(10)
    assert len(calls) == 15 + model.layout.categorical
    calls.clear()
    synthesizer.sample(10, steps=3)
    assert len(calls) == 3 + model.layout.categorical


def test_sampling_draws_thinned_networks_from_its_own_seed(people):
    overrides = ["network.width=32", "network.depth=1", "model.steps=4", "callbacks=none", "trainer=cpu"]
    synthesizer = synthgen.fit(people, "table/tabdiff", max_samples=4096, batch_size=128, overrides=overrides)
    with pytest.raises(SynthgenError, match="steps: found 0"):
        synthesizer.sample(1, steps=0)
    state = torch.get_rng_state()
    fake = synthesizer.sample(50, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    pd.testing.assert_frame_equal(synthesizer.sample(50, seed=3), fake)
    dropouts = [part for part in synthesizer.model.modules() if isinstance(part, nn.Dropout)]
    assert not any(part.training for part in dropouts)
    rates = [part.p for part in dropouts]
    try:
        for part in dropouts:
            part.p = 0.0
        whole = synthesizer.sample(50, seed=3)
    finally:
        for part, rate in zip(dropouts, rates, strict=True):
            part.p = rate
    assert not whole.equals(fake)
