"""What tables and image sets share on their way into training: splits, residence on the device, batches."""

from abc import abstractmethod
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from synthgen.data.resident import ResidentLoader
from synthgen.errors import SynthgenError

__all__ = ["DataModule", "limited_rows", "split_rows"]

# Rows that one validation looks at: more would cost training time and tell little more.
_MAX_VALIDATION = 8192
# With fewer rows than this, holding some back for validation would cost more than it tells.
_MIN_ROWS = 50


class DataModule(LightningDataModule):
    """Real data, split, encoded and put on the device that trains.

    A subclass reads the source and sets `codec`, `train`, `validation` and `holdout` in `load`.

    Attributes:
        name: Of the data, in run folders and reports.
        source: A function that returns the real data; it is handed `path` where that is given.
        path: Where the data is.
        codec: The fitted map to tensors.
        train: Real data that training learns from.
        validation: Real data that training is watched on, or None.
        holdout: Real data that training never touches, or None.
    """

    name: str
    source: Callable[..., Any]
    path: str | None
    codec: Any
    train: Any
    validation: Any
    holdout: Any

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise SynthgenError(f"data.batch_size: found {batch_size}, expected at least 1")
        self.batch_size = batch_size
        self.seed = seed

    def read(self) -> Any:
        """The real data as its source gives it, of which a subclass takes no more than its `limit`, drawn by `seed`."""
        return self.source(self.path) if self.path is not None else self.source()

    @abstractmethod
    def load(self) -> None:
        """Reads the source, once; a second call does nothing."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the real data's content."""

    @property
    def training_rows(self) -> int:
        """Number of examples that training learns from."""
        return len(self.train)

    def training_tensors(self) -> dict[str, Tensor]:
        """What training learns from, encoded, on the CPU."""
        return self.tensors(self.train)

    def tensors(self, part: Any) -> dict[str, Tensor]:
        """A part of the data, encoded, on the CPU."""
        return self.codec.encode(part)

    def train_dataloader(self) -> ResidentLoader:
        """An endless stream of training batches."""
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("the data module is not attached to a trainer")
        device = trainer.strategy.root_device
        encoded = {name: tensor.to(device) for name, tensor in self.training_tensors().items()}
        return ResidentLoader(encoded, self.batch_size, self.seed, trainer.global_rank, trainer.world_size)

    def val_dataloader(self) -> DataLoader | list:
        """Validation batches, the same on every call; none where the data is too small to spare them."""
        if self.validation is None or self.trainer is None:
            return []
        device, world_size = self.trainer.strategy.root_device, self.trainer.world_size
        encoded = self.tensors(self.validation)
        rows = torch.arange(min(_MAX_VALIDATION, len(next(iter(encoded.values())))))
        rows = rows.repeat(ceil(world_size / max(len(rows), 1)))  # one for each process at least
        own = rows[self.trainer.global_rank :: world_size]
        # As many batches for each process, which wait for one another at every one.
        batches_each = ceil(ceil(len(rows) / world_size) / self.batch_size)
        chunks = own.split(self.batch_size) if world_size == 1 else own.tensor_split(batches_each)
        batches = [{name: tensor[chunk].to(device) for name, tensor in encoded.items()} for chunk in chunks]
        # Even without shuffling a DataLoader draws a number, which must not come out of training's randomness.
        own_draws = torch.Generator()
        return DataLoader(batches, batch_size=None, generator=own_draws)  # type: ignore[arg-type]  # a list is a map


def limited_rows(rows: int, limit: int | None, seed: int) -> np.ndarray:
    """Indices of at most `limit` of `rows` rows, in order, drawn by `seed`.

    Raises:
        SynthgenError: A limit below 1.
    """
    if limit is None:
        return np.arange(rows)
    if limit < 1:
        raise SynthgenError(f"data.limit: found {limit}, expected at least 1")
    order = np.arange(rows, dtype=np.uint32 if rows < 2**32 else np.uint64)
    np.random.default_rng(seed).shuffle(order)
    return np.sort(order[:limit]).astype(np.int64)


def split_rows(
    groups: np.ndarray, holdout: float, validation: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row indices of the training, validation and holdout parts, in their original order.

    Args:
        groups: (rows,) a label a row; rows of one label stay on one side.
        holdout: Share of rows that training never touches.
        validation: Share of the other rows that training is watched on; none from data under 50 rows.
        seed: Of the draw.

    Returns:
        Three disjoint arrays that cover all rows.
    """
    labels, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(labels))
    # A group belongs to the part in which its middle row falls, so that shares are met as closely as groups allow.
    place = np.empty(len(labels))
    place[order] = (np.cumsum(sizes[order]) - sizes[order] / 2) / len(groups)
    position = place[group]
    if len(groups) < _MIN_ROWS:
        validation = 0.0
    in_holdout = position < holdout
    in_validation = ~in_holdout & (position < holdout + (1 - holdout) * validation)
    rows = np.arange(len(groups))
    return rows[~in_holdout & ~in_validation], rows[in_validation], rows[in_holdout]
