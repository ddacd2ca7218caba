import math

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from synthgen.models.adversarial import (
    ADVERSARIAL_LOSSES,
    AdversarialStage,
    gradient_penalty,
    input_gradient_of,
    r1_penalty,
)
from synthgen.models.stages import EMA, Optimization
from tests.models.test_base import step_context
from tests.tiny import Mean, Numbers, Tiny, fit

REAL, FAKE = torch.tensor([2.0, -0.5]), torch.tensor([-3.0, 0.25])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_losses_are_those_of_their_papers():
    def softplus(x):
        return math.log1p(math.exp(x))

    by_hand = {
        "non_saturating": (
            (softplus(-2) + softplus(0.5)) / 2 + (softplus(-3) + softplus(0.25)) / 2,
            (softplus(3) + softplus(-0.25)) / 2,
        ),
        "hinge": (1.5 / 2 + 1.25 / 2, 2.75 / 2),
        "wasserstein": (-2.75 / 2 - 1.5 / 2, 2.75 / 2),
    }
    assert set(by_hand) == set(ADVERSARIAL_LOSSES)
    for name, (discriminator, generator) in by_hand.items():
        loss = ADVERSARIAL_LOSSES[name]
        assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator)
        assert float(loss.generator(FAKE)) == pytest.approx(generator)


def test_the_gradient_penalty_of_a_linear_critic_is_that_by_hand():
    """score = w · x: the penalty is (‖w‖ − 1)², its gradient 2 (‖w‖ − 1) w / ‖w‖, wherever the points lie."""
    w = torch.tensor([3.0, -4.0, 12.0], requires_grad=True)
    real, fake = torch.randn(8, 3, generator=seeded()), torch.randn(8, 3, generator=seeded(1))
    penalty = gradient_penalty(input_gradient_of(lambda x: x @ w), real, fake, seeded(2))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(144)
    torch.testing.assert_close(w.grad, 24 * w.detach() / 13)


def test_the_gradient_penalty_looks_between_real_and_fake():
    """score = |x|² / 2: the gradient at a point is the point, so the penalty tells where it was taken."""
    real, fake = torch.full((4000, 1), 2.0), torch.full((4000, 1), 4.0)
    penalty = gradient_penalty(input_gradient_of(lambda x: x.square().sum(dim=1) / 2), real, fake, seeded())
    # E (u − 1)² for u even on [2, 4] is 13 / 3.
    assert float(penalty.detach()) == pytest.approx(13 / 3, rel=0.03)


def test_r1_of_a_quadratic_discriminator_is_that_by_hand():
    """score = xᵀAx / 2 with A symmetric: the penalty is the mean of ‖Ax‖², its gradient the mean of 2 A x xᵀ."""
    a = torch.randn(3, 3, generator=seeded())
    a = (a + a.T).requires_grad_()
    x = torch.randn(16, 3, generator=seeded(1))
    penalty = r1_penalty(lambda points: (points @ a * points).sum(dim=1) / 2, x)
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(float((x @ a.detach()).square().sum(dim=1).mean()), rel=1e-5)
    expected = 2 * a.detach() @ x.T @ x / 16
    torch.testing.assert_close(a.grad, (expected + expected.T) / 2, msg="the score only knows A's symmetric part")


def test_penalties_of_images_sum_over_all_pixels():
    images = torch.randn(4, 3, 2, 2, generator=seeded())
    assert float(r1_penalty(lambda x: 2 * x.sum(dim=(1, 2, 3)), images)) == pytest.approx(4 * 12)


# The stage


class Slope(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Linear(1, 1)


def stage(loss="non_saturating", ema=None):
    def generate(generator, batch, context):
        return {"x": generator.value + torch.randn(batch["x"].shape, generator=context.generator)}

    def discriminator_loss(discriminator, batch, generated, context):
        assert not generated["x"].requires_grad
        real, fake = discriminator.slope(batch["x"]), discriminator.slope(generated["x"])
        penalty = r1_penalty(lambda x: discriminator.slope(x), batch["x"])
        return ADVERSARIAL_LOSSES[loss].discriminator(real, fake) + penalty

    def generator_loss(discriminator, batch, generated, context):
        return ADVERSARIAL_LOSSES[loss].generator(discriminator.slope(generated["x"]))

    optimization = Optimization(lr=0.05, betas=(0.0, 0.9), warmup=0, clip=math.inf)
    return AdversarialStage(
        Mean(), Slope(), generate, discriminator_loss, generator_loss, optimization, optimization, ema
    )


class Watch(Callback):
    def __init__(self):
        self.values, self.averages, self.losses = [], [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        gan = pl_module.stages[0]
        self.values.append(gan.generator.value.item())
        self.averages.append(gan.trained.value.item())
        self.losses.append(set(pl_module.latest))


@pytest.mark.parametrize("loss", list(ADVERSARIAL_LOSSES))
def test_the_generator_finds_the_data(tmp_path, loss):
    model = Tiny([stage(loss, EMA(halflife=300, rampup=0.1))])
    fitted = fit(model, tmp_path, budget=16_000, data=Numbers(rows=2000, batch_size=64))
    assert fitted.samples_seen == 16_000
    assert model.stages[0].trained.value.item() == pytest.approx(3, abs=0.3)


def test_only_the_generator_is_averaged_and_kept(tmp_path):
    model, watch = Tiny([stage(ema=EMA(halflife=100, rampup=1.0))]), Watch()
    fit(model, tmp_path, budget=320, callbacks=[watch])
    assert set(model.trained_state()) == {"stage0.value"}
    by_hand = 0.0
    for step, value in enumerate(watch.values):
        kept = 0.5 ** (16 / min(100, 16 * (step + 1)))
        by_hand = kept * by_hand + (1 - kept) * value
    assert watch.averages[-1] == pytest.approx(by_hand, rel=1e-4)
    assert watch.losses[0] == {"generator_loss", "discriminator_loss"}


def test_a_gan_has_no_validation_figure_and_ends_with_its_last_weights(tmp_path):
    model, watch = Tiny([stage()]), Watch()
    fitted = fit(model, tmp_path, data=Numbers(validation=60), validate_every=64, callbacks=[watch])
    assert fitted.best is None
    assert not list(tmp_path.glob("best*"))
    assert model.stages[0].trained.value.item() == watch.values[-1]


def test_weights_that_a_gan_starts_from_go_to_the_generator_and_its_average():
    gan = stage(ema=EMA())
    gan.load_trained({"value": torch.tensor([7.0])})
    assert gan.generator.value.item() == gan.trained.value.item() == 7
    assert all(parameter.requires_grad for parameter in gan.generator.parameters())


def test_under_mixed_precision_each_step_sees_the_weights_that_the_one_before_has_made():
    """Autocast keeps copies of weights for as long as its region lasts, and may outlast a step."""
    gan = stage("wasserstein")
    gan.generator_optimization = gan.discriminator_optimization = Optimization(lr=1.0, warmup=0, cooldown=0.0)
    seen = []

    def watched(loss):
        def watching(discriminator, *arguments):
            one = torch.ones(1, 1)
            weights = [parameter.detach().clone() for parameter in discriminator.slope.parameters()]
            seen.append((discriminator.slope(one).item(), nn.functional.linear(one, *weights).item()))
            return loss(discriminator, *arguments)

        return watching

    gan.discriminator_loss, gan.generator_loss = watched(gan.discriminator_loss), watched(gan.generator_loss)
    optimizers, before = gan.optimizers(), gan.generator.value.item()
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            gan.training_step({"x": torch.randn(64, 1) + 3}, step_context(optimizers))
    assert len({round(now, 2) for _, now in seen}) > 1, "weights have moved"
    for output, now in seen:
        assert output == pytest.approx(now, abs=0.05)
    assert gan.generator.value.item() != before
