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
    """With the settings `seconds`, `bf16` and `latent`, the number of dimensions."""
    images = torch.from_numpy(task.data.pixels).float() / 255
    shape = VAEConfig(input_dim=tuple(images.shape[1:]), latent_dim=task.settings["latent"])
    torch.manual_seed(task.seed)
    model = VAE(shape, encoder=Encoder_ResNet_VAE_MNIST(shape), decoder=Decoder_ResNet_AE_MNIST(shape))
    bf16 = task.settings.get("bf16", False)
    if bf16:
        model.to(memory_format=torch.channels_last)  # in which the CPU's bf16 convolutions are fast
    clock = Clock(task.settings["seconds"])
    # Its own mixed precision is for CUDA alone; it may be switched on around it.
    with TemporaryDirectory() as scratch, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        config = BaseTrainerConfig(output_dir=scratch, num_epochs=ENDLESS, seed=task.seed)
        with suppress(TimeIsUp):
            TrainingPipeline(model=model, training_config=config)(train_data=images, callbacks=[clock])
    model.bf16 = bf16
    seen = clock.steps * config.per_device_train_batch_size
    return model, {"samples_seen": seen, "precision": "bf16-mixed" if bf16 else "32-true"}


def sample(model: VAE, n: int, seed: int) -> Pictures:
    """From the prior, without labels."""
    torch.manual_seed(seed)
    with torch.autocast("cpu", torch.bfloat16, enabled=model.bf16):
        made = NormalSampler(model=model).sample(num_samples=n, batch_size=500)
    return Pictures((made.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
