"""`denoising-diffusion-pytorch`: its U-Net and diffusion, in a loop with its trainer's optimizer, clipping and average.

Its own trainer reads a folder of files through worker processes, ends by a number of steps, and samples meanwhile.
"""

import time
from typing import Any

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from ema_pytorch import EMA

from scripts.benching.handed import Pictures, Task


def fit(task: Task) -> tuple[EMA, dict[str, Any]]:
    """With the settings `seconds`, `dim`, `dim_mults`, `batch_size`, `bf16` and, of sampling, `steps`."""
    torch.manual_seed(task.seed)
    settings = task.settings
    images = torch.from_numpy(task.data.pixels)
    channels, size = images.shape[1:3]
    network = Unet(dim=settings["dim"], dim_mults=tuple(settings["dim_mults"]), channels=channels)
    diffusion = GaussianDiffusion(network, image_size=size, sampling_timesteps=settings["steps"])
    bf16 = settings.get("bf16", False)
    if bf16:
        diffusion.to(memory_format=torch.channels_last)  # in which the CPU's bf16 convolutions are fast
    # Its trainer updates every tenth step after the hundredth, of a hundred thousand: of some hundred that is too late.
    average = EMA(diffusion, beta=0.995, update_every=1, update_after_step=0)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
    begun, seen = time.perf_counter(), 0
    while time.perf_counter() - begun < settings["seconds"]:
        rows = torch.randint(len(images), (settings["batch_size"],))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = diffusion(images[rows].float() / 255)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen += len(rows)
    average.bf16 = bf16
    return average, {"samples_seen": seen, "precision": "bf16-mixed" if bf16 else "32-true"}


def sample(model: EMA, n: int, seed: int) -> Pictures:
    """Without labels."""
    torch.manual_seed(seed)
    model.ema_model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=model.bf16):
        parts = [model.ema_model.sample(batch_size=min(100, n - done)) for done in range(0, n, 100)]
    return Pictures((torch.cat(parts).float().clamp(0, 1) * 255).round().to(torch.uint8).numpy())
