"""What looks at a model's samples while it trains, what it is shown, and how that leaves training as it was."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.utilities.seed import isolate_rng

from synthgen.data.images.images import Images
from synthgen.data.tables.number_formats import in_numbers
from synthgen.errors import SynthgenError, nearest
from synthgen.metrics.image.classifier import DomainClassifier
from synthgen.metrics.image.reference import domain_classifier, reference_features
from synthgen.metrics.neighbours import PRDC, prdc
from synthgen.models.base import Model
from synthgen.models.stages import Batch

__all__ = ["POLICIES", "Drawn", "Found", "Look", "Real", "check_policy", "draw", "some", "untouched"]

#: What follows an alarm.
POLICIES = ("warn", "stop")

# Training images whose features samples are held against: more would cost time at every look and tell little more.
_REFERENCES = 5_000
# Validation rows that say more of the distribution than of chance.
_ENOUGH = 100


@dataclass
class Found:
    """What one look has found.

    Attributes:
        figures: By name, without the prefix that loggers show.
        picture: For people, if the look draws one.
        alarm: What is wrong, in one line; the look's policy says what follows.
        note: What a person should know, in one line.
    """

    figures: dict[str, float] = field(default_factory=dict)
    picture: Image.Image | None = None
    alarm: str | None = None
    note: str | None = None


class Look(ABC):
    """Something that is measured or drawn of samples. `Evaluation` shows all looks the same ones, on one process.

    Attributes:
        names: Of the figures that it finds, known once it is prepared.
        aims: Where a figure is best: at a number, or at plus or minus infinity for the higher or the lower the better.
        policy: What follows its alarm: "warn", or "stop" to end training.
    """

    names: tuple[str, ...] = ()
    aims: Mapping[str, float] = {}
    policy: str = "warn"

    @abstractmethod
    def prepare(self, real: "Real", model: Model) -> None:
        """Computes what stays the same for all looks, and says by `names` what can be found with this data."""

    @abstractmethod
    def look(self, drawn: "Drawn") -> Found:
        """Looks once."""

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on must know; plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027  # most looks remember nothing
        """Goes on."""


class Real:
    """Real data as looks compare with it: the same rows and the same features at every look.

    Args:
        data: A `TableDataModule` or an `ImageDataModule`, loaded.
        rows: Real rows that as many synthetic ones are held against, at most.
        progress: Told what is being prepared, and the share that is done.
    """

    def __init__(self, data: Any, rows: int, progress: Callable[[str, float], None] | None = None) -> None:
        self.data = data
        self.rows = rows
        self.tell = progress or (lambda *_: None)

    @property
    def images(self) -> bool:
        """Whether the data is images, and not a table."""
        return isinstance(self.data.train, Images)

    @cached_property
    def compared(self) -> Any:
        """At most `rows` validation rows, or training rows where there are fewer than 100 for validation."""
        held = self.data.validation
        return self.measured(some(self.data.train if held is None or len(held) < _ENOUGH else held, self.rows))

    def measured(self, rows: Any) -> Any:
        """Rows of the table as metrics know them, in which numbers that are text are floats; images as they are."""
        return in_numbers(rows, self.data.codec.schema) if isinstance(rows, pd.DataFrame) else rows

    @cached_property
    def classifier(self) -> DomainClassifier:
        """Of the training images, trained once for a data set and kept on disk."""
        train = self.data.train
        return domain_classifier(
            train.pixels,
            train.labels,
            len(train.classes),
            name=self.data.name,
            progress=lambda share: self.tell("training a classifier of the images", share),
        )

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """Of at most 5,000 training images, (N, D)."""
        pixels = some(self.data.train, _REFERENCES).pixels
        return reference_features(
            self.classifier, pixels, progress=lambda share: self.tell("looking at the images", share)
        )


@dataclass
class Drawn:
    """One draw of samples, as every look sees it.

    Attributes:
        real: What they are compared with.
        model: What drew them.
        encoded: Samples as the model gives them.
        synthetic: The same, decoded, and as `Real.measured` has rows.
        seen: Training examples that the model has seen.
        last: Whether training has ended.
    """

    real: Real
    model: Model
    encoded: Batch
    synthetic: Any
    seen: int
    last: bool

    @cached_property
    def features(self) -> NDArray[np.float64]:
        """Of synthetic images, (n, D)."""
        return self.real.classifier.features(self.synthetic.pixels)

    @cached_property
    def prdc(self) -> PRDC:
        """How the features of as many real and synthetic images lie within each other."""
        count = min(len(self.features), len(self.real.features))
        return prdc(self.real.features[:count], self.features[:count])


def draw(trainer: Trainer, model: Model, n: int, seed: int) -> Batch | None:
    """Encoded samples 0 .. n − 1 of the sequence that `seed` names, drawn by all processes together.

    Each process draws whole blocks, so that none is drawn twice, and the same ones whatever the number of processes.

    Returns:
        The samples on the first process, None on all others.
    """
    blocks, rank, processes = -(-n // model.block_size), trainer.global_rank, trainer.world_size
    low, high = (min(n, blocks * r // processes * model.block_size) for r in (rank, rank + 1))
    part = model.sample(high - low, seed=seed, start=low, **model.preview) if high > low else None
    if processes == 1:
        return part
    parts: list[Batch | None] = [None] * processes
    torch.distributed.all_gather_object(parts, part)
    drawn = [part for part in parts if part is not None]
    return {name: torch.cat([part[name] for part in drawn]) for name in drawn[0]} if rank == 0 else None


@contextmanager
def untouched(model: Model) -> Iterator[None]:
    """Puts back what looking may change of training: random states, modes and buffers, such as BatchNorm's."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with isolate_rng():
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


def some(data: Any, rows: int, seed: int = 0) -> Any:
    """At most so many rows of a table or images of a set, in random order, the same at every call."""
    chosen = np.random.default_rng(seed).permutation(len(data))[:rows]
    return data.iloc[chosen] if isinstance(data, pd.DataFrame) else data[chosen]


def check_policy(name: str, policy: str) -> None:
    """Makes sure that a policy is one.

    Raises:
        SynthgenError: It is not.
    """
    if policy not in POLICIES:
        raise SynthgenError(f"{name}.policy: found {policy!r}: {nearest(policy, POLICIES)}")
