"""Real images on their way into training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from synthgen.data.fingerprint import fingerprint
from synthgen.data.images.codec import ImageCodec
from synthgen.data.images.images import Images
from synthgen.data.module import DataModule, limited_rows, split_rows
from synthgen.errors import SynthgenError

__all__ = ["ImageDataModule"]


class ImageDataModule(DataModule):
    """Images from any source, split into training, validation and holdout images.

    Args:
        source: A function that returns the images; it is handed `path` where that is given.
        path: Where the images are.
        holdout: Share of images kept from training for evaluation.
        validation: Share of the other images that training is watched on.
        limit: Number of images to take, drawn by `seed`; by default all of them.
        batch_size: Images a batch, on each device.
        seed: Of the split and of the order of batches.
        name: In run folders and reports; by default the folder's or file's.
    """

    def __init__(
        self,
        source: Callable[..., Images],
        path: str | None = None,
        holdout: float = 0.1,
        validation: float = 0.05,
        limit: int | None = None,
        batch_size: int = 128,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(batch_size, seed)
        for key, share in {"holdout": holdout, "validation": validation}.items():
            if not 0 <= share < 1:
                raise SynthgenError(f"data.{key}: found {share}, expected a share from 0 to below 1")
        self.source = source
        self.path = path
        self.holdout_share = holdout
        self.validation_share = validation
        self.name = name or (Path(path).stem if path else str(getattr(source, "__name__", "images")))
        self.limit = limit
        self._loaded = False

    def read(self) -> Images:
        """See `DataModule.read`."""
        images = super().read()
        return images[limited_rows(len(images), self.limit, self.seed)]

    def load(self) -> None:
        """Reads the images, splits them and fits the codec to what training may see."""
        if self._loaded:
            return
        images = self.read()
        train, validation, holdout = split_rows(
            np.arange(len(images)), self.holdout_share, self.validation_share, self.seed
        )
        self.train = images[train]
        self.validation = images[validation] if len(validation) else None
        self.holdout = images[holdout] if len(holdout) else None
        self.codec = ImageCodec.fit(self.train)
        self._loaded = True

    @property
    def fingerprint(self) -> str:
        """A hash of the images that training may see, their order included."""
        return fingerprint(self.train, self.validation)
