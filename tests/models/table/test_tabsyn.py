"""TabSyn on tables whose joint distribution is known, and its parts against closed forms."""

import copy
from functools import partial

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy

import synthgen
from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.stages import EMA, Optimization
from synthgen.models.table.tabsyn import LatentDenoiser, Standardisation, TabSyn, cell_bound
from synthgen.models.variational import AdaptiveBeta
from synthgen.networks.cells import CellKind
from synthgen.networks.table_autoencoder import TableAutoencoder
from synthgen.networks.table_mlp import TableMLP
from tests.callbacks.runs import data_for, train
from tests.models.table.toys import check_joint, check_number, check_rejection, two_words_and_a_number
from tests.tiny import Stop, same, weights

KINDS = [CellKind(3), CellKind(2, number=True), CellKind(1, number=True), CellKind(40, ordered=39)]


@pytest.fixture(scope="module")
def fitted():
    small = ["autoencoder.width=32", "autoencoder.depth=1", "denoiser.width=128", "denoiser.depth=2"]
    overrides = [f"network.{option}" for option in small]
    return synthgen.fit(
        two_words_and_a_number(),
        "table/tabsyn",
        max_samples=400_000,
        batch_size=256,
        overrides=[*overrides, "callbacks=none", "trainer=cpu"],
    )


def test_the_joint_of_two_categories_is_learned(fitted):
    check_joint(fitted, within=0.04)


def test_a_number_follows_its_category(fitted):
    check_number(fitted, mean_within=0.15, std=(0.85, 1.15))


def test_conditions_are_met_by_rejection_and_the_rate_is_counted(fitted):
    check_rejection(fitted, rate_within=0.05, mean_within=0.2)


def test_samplers_and_their_steps_are_chosen_and_bad_ones_are_refused(fitted):
    default, other = fitted.sample(100, seed=1), fitted.sample(100, seed=1, sampler="heun", steps=40)
    assert (default["a"] == other["a"]).mean() > 0.9  # another way to solve the same ODE
    assert not default.equals(other)
    with pytest.raises(SynthgenError, match="'heun'"):
        fitted.sample(1, sampler="huen")
    with pytest.raises(SynthgenError, match="steps: found 0"):
        fitted.sample(1, steps=0)


# Parts


def autoencoder(**options):
    torch.manual_seed(0)
    return TableAutoencoder(KINDS, width=16, depth=1, **options)


def cells(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack([torch.randint(kind.values, (rows,), generator=generator) for kind in KINDS], dim=1)
    return values, torch.randn(rows, len(KINDS), generator=generator)


def test_the_objective_is_cross_entropy_squared_error_and_the_divergence_of_normal_distributions():
    coder, (values, numbers) = autoencoder(), cells(20)
    error, divergence = cell_bound(coder, values, numbers, torch.Generator().manual_seed(1))
    mean, logvar = coder.encode(values, numbers)
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence, expected)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1))
    logits, means = coder.decode(mean + (logvar / 2).exp() * noise)
    for of_cells, of_values in logits:
        for place, cell in enumerate(of_cells.tolist()):
            expected = cross_entropy(of_values[place], values[:, cell], reduction="none")
            if KINDS[cell].number:
                off = means[coder.numbers.tolist().index(cell)] - numbers[:, cell]
                expected = expected + torch.where(values[:, cell] == 0, off.square(), 0.0)
            torch.testing.assert_close(error[:, cell], expected)
    torch.testing.assert_close(error[:, 2], (means[1] - numbers[:, 2]).square())  # a cell that holds a number always


def test_latents_are_standardised_and_their_dimensions_keep_their_proportions():
    scale = Standardisation(3)
    latents = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 0.1, 0.0]) + 3
    scale.fit(latents, torch.zeros(500, 3))
    moved = scale(latents)
    torch.testing.assert_close(moved.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    assert moved.square().mean().item() == pytest.approx(1)
    assert (moved.std(dim=0)[1] / moved.std(dim=0)[0]).item() == pytest.approx(
        (latents.std(dim=0)[1] / latents.std(dim=0)[0]).item()
    )
    torch.testing.assert_close(scale.undo(moved), latents)
    scale.fit(latents, torch.tensor([0.0, 1.0, 2.0]).expand(500, 3))
    drawn = latents.var(dim=0, correction=0) + torch.tensor([0.0, 1.0, 4.0])  # of means, and around them
    torch.testing.assert_close(scale.std, drawn.mean().sqrt())
    scale.fit(torch.ones(5, 3), torch.zeros(5, 3))
    torch.testing.assert_close(scale(torch.ones(5, 3)), torch.zeros(3).expand(5, 3))


class Nothing(nn.Module):
    """Says nothing, and notes what it was asked."""

    def forward(self, x, codes, noise):
        self.asked = (x, codes, noise)
        return torch.zeros_like(x), None


def test_the_denoiser_that_knows_nothing_shrinks_as_a_normal_prior_does():
    network = Nothing()
    x, sigma = torch.randn(4, 2), torch.tensor([0.01, 0.5, 2.0, 80.0])
    expected = x / (1 + sigma[:, None] ** 2)  # E[x0 | x0 + sigma · eps = x] under N(0, 1)
    torch.testing.assert_close(LatentDenoiser(network)(x, sigma), expected)
    asked, codes, noise = network.asked
    torch.testing.assert_close(asked, x / (1 + sigma[:, None] ** 2).sqrt())
    torch.testing.assert_close(noise, sigma.log() / 4)
    assert codes.shape == (4, 0)


def test_settings_that_cannot_be_are_refused():
    def model(**options):
        given = {"optimization": Optimization(), "autoencoder_optimization": Optimization(), "ema": EMA()}
        return TabSyn(TableLayout(1, (2,)), TableAutoencoder, TableMLP, beta=AdaptiveBeta(), **given, **options)

    model()
    for options, match in (
        ({"share": 1.0}, "share: found 1.0"),
        ({"noise_std": 0.0}, "noise_std: found 0.0"),
        ({"sigma_max": 0.001}, "sigma_max: found 0.001"),
        ({"steps": 0}, "steps: found 0"),
    ):
        with pytest.raises(SynthgenError, match=match):
            model(**options)


def test_what_is_learned_are_draws_of_the_latents_as_the_decoder_was_taught_to_read_them():
    model = TabSyn(
        *(TableLayout(1, (2, 3)), partial(TableAutoencoder, width=16, depth=1), TableMLP),
        *(Optimization(), Optimization(), EMA(), AdaptiveBeta()),
        noise_mean=-20.0,  # next to no noise of diffusion
    )
    generator = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(size, (50,), generator=generator) for size in (2, 3)], dim=1)
    data = {"numerical": torch.randn(50, 1, generator=generator), "categorical": codes}
    model.stages[2].fit(data)
    model.stages[3].prepare(data)
    mean, logvar = model.stages[1].trained.encode(*model.cells.to_cells(data))
    scale = model.stages[2].trained
    torch.testing.assert_close(data["latents"], scale(mean))
    asked = []

    def denoiser(x, sigma):
        asked.append(x)
        return x

    for _ in range(400):
        model.stages[3].loss(denoiser, data, generator)
    drawn = torch.stack(asked)
    torch.testing.assert_close(drawn.mean(dim=0), scale(mean), atol=0.25, rtol=0)
    expected = ((logvar / 2).exp() / scale.std).mean(dim=0)
    torch.testing.assert_close(drawn.std(dim=0).mean(dim=0), expected, atol=0.01, rtol=0.01)


# Stages


class Watch(Callback):
    """Notes which batches held latents, and what was resident."""

    def __init__(self):
        self.held, self.resident = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, *_):
        self.held.append("latents" in batch)
        self.resident.append(trainer.train_dataloader.tensors.get("latents"))


def test_rows_are_encoded_once_and_stay_resident(tmp_path):
    watch = Watch()
    model, _ = train("table/tabsyn", tmp_path, [watch])
    first = watch.held.index(True)
    assert 0 < first < len(watch.held) - 1
    assert watch.held == [False] * first + [True] * (len(watch.held) - first)
    latents = watch.resident[-1]
    assert all(resident is latents for resident in watch.resident[first:])
    data = data_for("table/tabsyn")
    data.load()
    mean = model.stages[1].trained.encode(*model.cells.to_cells(data.tensors(data.train)))[0]
    torch.testing.assert_close(latents, model.stages[2].trained(mean).detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(latents.shape[1]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("stop", [512, 2048])
def test_a_run_that_stops_in_either_stage_ends_equal(stop, tmp_path):
    whole, _ = train("table/tabsyn", tmp_path / "whole", validate_every=1024)
    _, interrupted = train("table/tabsyn", tmp_path / "parts", [Stop(stop)], validate_every=1024)
    assert interrupted.interrupted
    resumed, ended = train("table/tabsyn", tmp_path / "parts", validate_every=1024)
    assert not ended.interrupted
    assert same(weights(resumed), weights(whole))


def test_the_second_stage_leaves_the_autoencoder_and_its_beta_as_they_are(tmp_path):
    states = []

    class Keep(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            if pl_module.stage is pl_module.stages[3]:
                states.append(copy.deepcopy({**pl_module.stages[1].state_dict(), **pl_module.beta.state_dict()}))

    train("table/tabsyn", tmp_path, [Keep()])
    assert len(states) > 2
    assert same(states[0], states[-1])
