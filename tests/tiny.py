"""Models that train within a second, on numbers, for tests of what trains them."""

import signal
import time
from functools import partial

import torch
from pytorch_lightning import Callback, Trainer
from torch import nn

from synthgen.data.module import DataModule
from synthgen.models.base import Model
from synthgen.models.stages import EMA, ClosedFormStage, GradientStage, Optimization, Stage
from synthgen.training.budget import Budget
from synthgen.training.fit import fit_model
from synthgen.training.run_folder import RunFolder

STEADY = Optimization(lr=0.02, warmup=0, cooldown=0.0, clip=1e9)


class Numbers(DataModule):
    """Draws of N(3, 1), `rows` to learn from and `validation` to watch."""

    name = "numbers"
    holdout = None
    fingerprint = "numbers"

    def __init__(self, rows=200, batch_size=16, validation=0, seed=0):
        super().__init__(batch_size, seed)
        drawn = 3 + torch.randn(rows + validation, 1, generator=torch.Generator().manual_seed(9))
        self.train = drawn[:rows]
        self.validation = drawn[rows:] if validation else None

    def load(self):
        pass

    def tensors(self, part):
        return {"x": part}


class Mean(nn.Module):
    """Predicts one number."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))


class Noted(GradientStage):
    """A gradient stage that notes the context of every step, and what it has learned after it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.contexts = []

    def training_step(self, batch, context):
        self.contexts.append(context)
        return super().training_step(batch, context)


def squared_error(module, batch, generator):
    """Noisy, so that the state of the generator matters."""
    noise = 0.1 * torch.randn(batch["x"].shape, generator=generator)
    return (batch["x"] + noise - module.value).square().mean()


def slow_squared_error(module, batch, generator):
    time.sleep(0.005)
    return squared_error(module, batch, generator)


def gradient_stage(loss=squared_error, optimization=STEADY, ema=None, share=1.0, start=0.0):
    return Noted(Mean(start), loss, optimization, ema, share)


def closed_form_stage(start=0.0):
    def solve(module, data):
        module.value.copy_(data["x"].mean(dim=0))

    return ClosedFormStage(Mean(start), solve)


class Tiny(Model):
    """Stages that each learn the mean, and samples around the last one's."""

    block_size = 8

    def sample_block(self, size, condition, generator, shift=0.0):
        noise = torch.randn(size, 1, generator=generator, device=generator.device)
        around = self.stages[-1].trained.value if condition is None else condition["around"]
        return {"x": around + noise + shift}


class Stop(Callback):
    """Sends this process a signal after a number of examples, as Ctrl-C does."""

    def __init__(self, seen, number=signal.SIGINT):
        self.seen = seen
        self.number = number

    def on_train_batch_end(self, trainer, pl_module, *_):
        if pl_module.samples_seen >= self.seen:
            signal.raise_signal(self.number)


def one_stage(**options):
    return Tiny([gradient_stage(**options)])


class AdversarialStage(Stage):
    """A Wasserstein GAN of two numbers: the generator shifts noise, the critic is a slope within −1 and 1."""

    optimizer_count = 2

    def __init__(self):
        super().__init__()
        self.generator, self.critic = Mean(), Mean()

    @property
    def trained(self):
        return self.generator

    def optimizers(self):
        return [torch.optim.SGD(module.parameters(), lr=0.1) for module in (self.generator, self.critic)]

    def gap(self, batch, generator):
        fake = self.generator.value + torch.randn(batch["x"].shape, generator=generator)
        return self.critic.value * (batch["x"].mean() - fake.mean())

    def training_step(self, batch, context):
        for optimizer, sign in zip(context.optimizers, (1, -1), strict=True):
            loss = sign * self.gap(batch, context.generator)
            optimizer.zero_grad()
            context.backward(loss)
            optimizer.step()
            with torch.no_grad():
                self.critic.value.clamp_(-1, 1)
        return {"gap": loss.detach()}

    def validation_loss(self, batch, generator):
        return self.gap(batch, generator).abs()


def fit(model, folder, budget=320, data=None, max_time=None, **options):
    """Trains on the CPU by the real thing; returns how it ended."""
    trainer = partial(Trainer, accelerator="cpu", devices=1)
    return fit_model(model, data or Numbers(), trainer, RunFolder(folder), Budget(budget, max_time), **options)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def averaged(rampup=0.5):
    return EMA(halflife=100, rampup=rampup)
