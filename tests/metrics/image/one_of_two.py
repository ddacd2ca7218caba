"""What each of two processes does in test_streaming.py; apart, as a new process imports it and should be quick."""

from pathlib import Path

import numpy as np
import torch

from synthgen.metrics.image.streaming import FrechetDistance


def one_of_two(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    metric = FrechetDistance(np.load(folder / "reference.npy"))
    # Unequal numbers of images and batches: what is summed is not averaged.
    mine = torch.from_numpy(np.load(folder / "features.npy"))[rank::3]
    for part in mine.split(60 if rank else 40):
        metric.update(part)
    (folder / f"found{rank}").write_text(repr(float(metric.compute())))
    torch.distributed.destroy_process_group()
