"""Batches of data that live on the device: a table, or an image set that fits, is put there once."""

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["ResidentLoader"]


class ResidentLoader:
    """An endless stream of shuffled batches, each an index selection on the device.

    The stream is the concatenation of one permutation of all rows an epoch, drawn on the host from (seed, epoch), so
    every row is seen once an epoch and every batch is full, however small the data. Rank r of w takes every w-th row.
    Where the stream stands is one number, `position`, which `state_dict` saves.

    Args:
        tensors: Tensors of equal length in their first dimension, on the device that trains.
        batch_size: Rows a batch, on each rank.
        seed: Of the permutations; the same on all ranks.
        rank: This process, 0 .. world_size − 1.
        world_size: Number of processes.
    """

    def __init__(
        self, tensors: dict[str, Tensor], batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.tensors = tensors
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.position = 0
        self._rows = len(next(iter(tensors.values())))
        self._device = next(iter(tensors.values())).device
        self._permutations: dict[int, Tensor] = {}
        self._epochs_in_a_batch = -(-batch_size * world_size // self._rows)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            rows = self.rows(self.position)
            self.position += self.batch_size * self.world_size
            yield {name: tensor[rows] for name, tensor in self.tensors.items()}

    def __len__(self) -> int:
        """Endless: a length that no run reaches. Lightning fetches ahead from an iterable without one."""
        return sys.maxsize

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands: rows taken so far, over all ranks."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.position = state["position"]

    def rows(self, position: int) -> Tensor:
        """Indices of the rows of the batch that begins at `position` of the stream, on this rank."""
        end = position + self.batch_size * self.world_size
        parts, epoch = [], position // self._rows
        while epoch * self._rows < end:
            low, high = (max(position, epoch * self._rows), min(end, (epoch + 1) * self._rows))
            parts.append(self._permutation(epoch)[low - epoch * self._rows : high - epoch * self._rows])
            epoch += 1
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        return rows[self.rank :: self.world_size]

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._permutations:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
            permutation = torch.randperm(self._rows, generator=generator)
            if self._device.type == "cuda":  # from pinned memory the host need not wait for the copy
                permutation = permutation.pin_memory()
            permutation = permutation.to(self._device, non_blocking=True)
            # Two epochs at most meet in a batch of large data; small data needs those of this batch only.
            self._permutations = {e: p for e, p in self._permutations.items() if e >= epoch - self._epochs_in_a_batch}
            self._permutations[epoch] = permutation
        return self._permutations[epoch]
