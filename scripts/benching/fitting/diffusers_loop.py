"""The training loop of diffusers' unconditional example, written anew and short: its model, loss, rates and average."""

import time
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch.nn import functional

from scripts.benching.handed import Pictures, Task

WARMUP = 0.05  # of the time, as the example's 500 steps are of its training
GROUPS = 8  # of a normalisation: the example's 32 would leave one channel to a group of such narrow layers


def fit(task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    """With the settings `seconds`, `channels`, `batch_size`, `bf16` and, of sampling, `steps`."""
    torch.manual_seed(task.seed)
    settings = task.settings
    images = torch.from_numpy(task.data.pixels)
    channels, size = images.shape[1:3]
    widths = tuple(settings["channels"])
    network = UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        norm_num_groups=GROUPS,
        down_block_types=("DownBlock2D",) * (len(widths) - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (len(widths) - 1),
    )
    bf16 = settings.get("bf16", False)
    if bf16:
        network.to(memory_format=torch.channels_last)  # in which the CPU's bf16 convolutions are fast
    noise_schedule = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    begun, seen, spent = time.perf_counter(), 0, 0.0
    while (spent := time.perf_counter() - begun) < settings["seconds"]:
        # A linear rise and then a cosine to zero as there, over the time instead of over a number of steps.
        share = spent / settings["seconds"]
        cosine = 0.5 * (1 + np.cos(np.pi * (share - WARMUP) / (1 - WARMUP)))
        optimizer.param_groups[0]["lr"] = 1e-4 * (share / WARMUP if share < WARMUP else cosine)
        clean = images[torch.randint(len(images), (settings["batch_size"],))].float() / 127.5 - 1
        noise, times = torch.randn_like(clean), torch.randint(0, 1000, (len(clean),))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            predicted = network(noise_schedule.add_noise(clean, noise, times), times).sample
        loss = functional.mse_loss(predicted.float(), noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.step(network.parameters())
        seen += len(clean)
    average.copy_to(network.parameters())
    facts = {"samples_seen": seen, "precision": "bf16-mixed" if bf16 else "32-true"}
    return {"network": network.eval(), "steps": settings["steps"], "bf16": bf16}, facts


def sample(model: dict[str, Any], n: int, seed: int) -> Pictures:
    """By DDIM, without labels."""
    generator = torch.Generator().manual_seed(seed)
    network, scheduler = model["network"], DDIMScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(model["steps"])
    parts = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=model["bf16"]):
        for done in range(0, n, 100):
            shape = (min(100, n - done), network.config.in_channels, *[network.config.sample_size] * 2)
            images = torch.randn(shape, generator=generator)
            for moment in scheduler.timesteps:
                images = scheduler.step(network(images, moment).sample, moment, images).prev_sample
            parts.append(((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy())
    return Pictures(np.concatenate(parts))
