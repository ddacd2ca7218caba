"""The VAE of `pythae` with its own ResNet for 28-pixel images, trained by its own trainer until the time is up."""

import time
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pythae.models import VAE, VAEConfig
from pythae.models.nn.benchmarks.mnist import Decoder_ResNet_AE_MNIST, Encoder_ResNet_VAE_MNIST
from pythae.pipelines import TrainingPipeline
from pythae.samplers import NormalSampler
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback

from scripts.benching.handed import Pictures, Task

ENDLESS = 10_000  # epochs


class TimeIsUp(Exception):
    """Ends its trainer, which knows epochs alone."""


class Clock(TrainingCallback):
    """Counts steps, and ends training when the time is up."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.perf_counter() + seconds
        self.steps = 0

    def on_train_step_end(self, training_config: Any, **_: Any) -> None:
        """After each batch."""
        self.steps += 1
        if time.perf_counter() > self.ends:
            raise TimeIsUp


def fit(task: Task) -> tuple[VAE, dict[str, Any]]:
    """With the settings `seconds` and `latent`, the number of dimensions."""
    images = torch.from_numpy(task.data.pixels).float() / 255
    shape = VAEConfig(input_dim=tuple(images.shape[1:]), latent_dim=task.settings["latent"])
    torch.manual_seed(task.seed)
    model = VAE(shape, encoder=Encoder_ResNet_VAE_MNIST(shape), decoder=Decoder_ResNet_AE_MNIST(shape))
    clock = Clock(task.settings["seconds"])
    with TemporaryDirectory() as scratch:
        config = BaseTrainerConfig(output_dir=scratch, num_epochs=ENDLESS, seed=task.seed)
        with suppress(TimeIsUp):
            TrainingPipeline(model=model, training_config=config)(train_data=images, callbacks=[clock])
    return model, {"samples_seen": clock.steps * config.per_device_train_batch_size}


def sample(model: VAE, n: int, seed: int) -> Pictures:
    """From the prior, without labels."""
    torch.manual_seed(seed)
    made = NormalSampler(model=model).sample(num_samples=n, batch_size=500)
    return Pictures((made.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
