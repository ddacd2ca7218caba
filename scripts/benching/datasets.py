"""What the methods learn, read by the project's own readers, and handed over in files that every environment reads."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from synthgen.data.images.images import Images
from synthgen.data.images.sources import fashion_mnist
from synthgen.data.tables.delimited import read_csv
from synthgen.data.tables.outputs import write_table
from synthgen.data.tables.schema import infer_schema
from synthgen.files import replacing
from synthgen.layout import TableSchema

__all__ = ["DATASETS", "Dataset", "ImageSet", "TableSet"]


@dataclass(frozen=True)
class TableSet:
    """A table, split into training and holdout rows.

    Attributes:
        name: In rows and pages.
        target: The column that utility figures predict.
        words: Columns that are written as numbers and mean categories, as published figures take them.
        dropped: Identifiers.
        limit: Rows of each side, for tests.
    """

    name: str
    target: str
    words: Sequence[str] = ()
    dropped: Sequence[str] = ()
    limit: int | None = None

    kind = "tables"

    @cached_property
    def train(self) -> pd.DataFrame:
        """Rows to learn from."""
        return self._read("train")

    @cached_property
    def holdout(self) -> pd.DataFrame:
        """Rows that nobody learns from."""
        return self._read("test")

    @cached_property
    def schema(self) -> TableSchema:
        """Of the training rows."""
        return infer_schema(self.train, self.target)

    def hand_over(self, folder: Path) -> dict:
        """Writes the training rows for other processes; returns what a task says of them."""
        file = folder / f"{self.name}.parquet"
        write_table(self.train, str(file))
        words = [column.name for column in self.schema if not column.numerical]
        return {"data": str(file), "words": words, "target": self.target, "samples": len(self.train)}

    def _read(self, part: str) -> pd.DataFrame:
        frame = read_csv(f"{_root()}/tables/{self.name}/{part}.csv").drop(columns=list(self.dropped))
        return frame.astype(dict.fromkeys(self.words, "str"))[: self.limit]


@dataclass(frozen=True)
class ImageSet:
    """Labelled images, split into training and holdout images.

    Attributes:
        name: In rows and pages, and of the classifier whose features are compared.
        read: Returns training and holdout images.
    """

    name: str
    read: Callable[[], tuple[Images, Images]]

    kind = "images"

    @cached_property
    def parts(self) -> tuple[Images, Images]:
        """Training and holdout images."""
        return self.read()

    @property
    def train(self) -> Images:
        """Images to learn from."""
        return self.parts[0]

    @property
    def holdout(self) -> Images:
        """Images that nobody learns from."""
        return self.parts[1]

    def hand_over(self, folder: Path) -> dict:
        """Writes the training images for other processes; returns what a task says of them."""
        file = folder / f"{self.name}.npz"
        with replacing(file) as partial, partial.open("wb") as opened:
            np.savez(opened, images=self.train.pixels, labels=self.train.labels)
        return {"data": str(file), "words": [], "target": None, "samples": None}


def _fashion_mnist() -> tuple[Images, Images]:
    """All 60,000 images that are published for training, and the 10,000 for tests."""
    from torchvision.datasets import FashionMNIST

    train = fashion_mnist(f"{_root()}/images")
    tests = FashionMNIST(f"{_root()}/images", train=False, download=False)
    return train, Images(tests.data.numpy()[:, None], tests.targets.numpy().astype(np.int64), train.classes)


def _root() -> str:
    return os.environ["SYNTHGEN_DATA"]


Dataset = TableSet | ImageSet

_DELAYS = ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"]
DATASETS: tuple[Dataset, ...] = (
    TableSet("magic", "class"),
    TableSet("adult", "income"),
    TableSet("default", "default", words=["SEX", "EDUCATION", "MARRIAGE", *_DELAYS, "default"]),
    TableSet("beijing", "pm2.5"),
    TableSet("diabetes130", "readmitted", dropped=["encounter_id", "patient_nbr"]),
    ImageSet("fashion_mnist", _fashion_mnist),
)
