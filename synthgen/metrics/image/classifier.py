"""A small classifier of a data set's own images, whose features stand in for Inception's.

Inception's weights cannot be had everywhere and were learned from photographs. Digits, garments or scans are better
told apart by a network that has seen digits, garments or scans, and figures over it carry its name: "FD-cnn-digits".
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from synthgen.errors import SynthgenError

__all__ = ["DomainClassifier", "telling", "train_classifier"]

ROTATIONS = 4
BATCH = 64
LARGEST = 64  # pixels a side that the network sees; larger images are averaged down


class DomainClassifier:
    """A trained classifier as numpy sees it.

    Attributes:
        name: "cnn-NAME" after the data set NAME, "cnn-rotations-NAME" when it learned from rotations instead of labels.
        classes: Number of classes, 0 when it learned from rotations.
        shape: (C, H, W) of the images that it was trained on.
    """

    def __init__(self, network: nn.Sequential, name: str, classes: int, shape: tuple[int, ...]) -> None:
        self.network = network.eval()
        self.name = name
        self.classes = classes
        self.shape = shape

    @classmethod
    def of_state(cls, state: dict[str, NDArray], name: str, classes: int, shape: tuple[int, ...]) -> "DomainClassifier":
        """The classifier whose `state` it was.

        Args:
            state: Arrays by name.
            name: Of the data set.
            classes: Number of classes, 0 for one that learned from rotations.
            shape: (C, H, W) of its images.

        Raises:
            RuntimeError: The arrays are those of another network.
        """
        with torch.random.fork_rng(devices=[]):
            network = _network(shape, classes or ROTATIONS)
        network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
        return cls(network, _name(name, classes), classes, shape)

    @property
    def state(self) -> dict[str, NDArray]:
        """The weights as arrays by name; `of_state` takes them back."""
        return {key: value.numpy() for key, value in self.network.state_dict().items()}

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the weights: classifiers of one name that learned differently differ here."""
        found = hashlib.sha256()
        for value in self.network.state_dict().values():
            found.update(value.cpu().numpy().tobytes())
        return found.hexdigest()

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The penultimate layer, shape (N, 64), for images of shape (N, C, H, W), uint8.

        Raises:
            SynthgenError: When images are not uint8, or of another shape than those it was trained on.
        """
        return self._run(images, self.network[0]).astype(np.float64)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The most probable class of each image, shape (N,), for images of shape (N, C, H, W), uint8.

        Raises:
            SynthgenError: When it has no classes, or as `features` does.
        """
        if self.classes == 0:
            raise SynthgenError(f"{self.name} was trained without labels: it recognises no classes")
        return self._run(images, self.network).argmax(1)

    def _run(self, images: NDArray[np.uint8], network: nn.Module) -> NDArray[np.float32]:
        _checked(images)
        if images.shape[1:] != self.shape:
            raise SynthgenError(f"{self.name} reads images of shape {self.shape}, found {images.shape[1:]}")
        with _one_thread(), torch.inference_mode():
            batches = [network(_scaled(_tensor(images[i : i + 512]))) for i in range(0, len(images), 512)]
        return torch.cat(batches).numpy()


def train_classifier(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer] | None,
    classes: int,
    seed: int = 0,
    budget: int | None = None,
    name: str = "images",
    progress: Callable[[float], None] | None = None,
) -> DomainClassifier:
    """Trains a classifier on one core of the CPU, the same one for the same arguments.

    Without labels it learns to tell by how many quarter turns an image was rotated (Gidaris et al., 2018), which needs
    features of what is seen too; images that are not square are cropped to their middle for it. So it does with labels
    of a single class, which teach nothing. With labels, images are shifted by up to one pixel. Images of more than 64
    pixels a side are averaged over squares first, so that the time does not grow with them.

    Args:
        images: Shape (N, C, H, W), uint8, 8 pixels a side or more.
        labels: Shape (N,), 0 .. classes − 1, or None.
        classes: Number of classes; of no meaning without labels.
        seed: Of weights, order and shifts. PyTorch's global generator is left as it was.
        budget: Images seen in training, each pass over the data counted; None for 20 passes, but 100,000 at most.
        name: Of the data set, for `DomainClassifier.name`.
        progress: Called after each batch with the share of the budget that is done, up to 1.

    Raises:
        SynthgenError: When images are not uint8 of shape (N, C, H, W), or there is not one valid label an image.
    """
    _checked(images)
    if len(images) < 2:
        raise SynthgenError(f"a classifier needs at least 2 images, found {len(images)}")
    if labels is not None:
        if len(labels) != len(images):
            raise SynthgenError(f"expected one label an image, found {len(labels)} labels for {len(images)} images")
        if labels.min() < 0 or labels.max() >= classes:
            raise SynthgenError(f"expected labels 0 to {classes - 1}, found {labels.min()} to {labels.max()}")
    labels = telling(labels)
    budget = min(20 * len(images), 100_000) if budget is None else budget
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed every GPU, too
        network = _network(images.shape[1:], classes if labels is not None else ROTATIONS)
    with _one_thread():
        _fit(network, _tensor(images), labels, budget, torch.Generator().manual_seed(seed), progress)
    known = classes if labels is not None else 0
    return DomainClassifier(network, _name(name, known), known, images.shape[1:])


def telling(labels: NDArray[np.integer] | None) -> NDArray[np.integer] | None:
    """Labels that a classifier can learn from: of two classes or more, however many have names; None otherwise."""
    return None if labels is None or labels.min() == labels.max() else labels


def _name(data: str, classes: int) -> str:
    return f"{'cnn' if classes else 'cnn-rotations'}-{data}"


def _fit(
    network: nn.Module,
    images: Tensor,
    labels: NDArray[np.integer] | None,
    budget: int,
    generator: torch.Generator,
    progress: Callable[[float], None] | None,
) -> None:
    targets = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    steps = max(budget // BATCH, 1)
    steps += steps == 5  # of which the schedule's rise would be no step long, and a division by zero
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)
    network.train()
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(images), generator=generator)])
        rows, order = order[:BATCH], order[BATCH:]
        batch = _scaled(images[rows])
        if targets is None:
            batch, target = _rotated(batch, generator)
        else:
            batch, target = _shifted(batch, generator), targets[rows]
        loss = functional.cross_entropy(network(batch), target, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress((step + 1) / steps)


def _network(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """Features, then one linear layer. Large images are halved at once: the time goes into the first maps.

    Args:
        shape: (C, H, W) of the images.
        classes: Outputs.
    """
    channels, size = shape[0], min(shape[1:]) // _squares(shape)

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    features = nn.Sequential(
        *block(channels, 16, 1 if size < 16 else 2),
        *block(16, 32, 1 if size < 48 else 2),
        *block(32, 64, 2),
        *block(64, 128, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
    )
    return nn.Sequential(features, nn.Linear(64, classes))


def _shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by −1, 0 or 1 pixel each way, its edge repeated."""
    count, channels, height, width = batch.shape
    padded = functional.pad(batch, (1, 1, 1, 1), mode="replicate")
    down, right = torch.randint(0, 3, (2, count, 1), generator=generator)
    rows = (down + torch.arange(height))[:, None, :, None]
    columns = (right + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(count)[:, None, None, None], torch.arange(channels)[None, :, None, None], rows, columns]


def _rotated(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image turned by a random number of quarters, and that number."""
    size = min(batch.shape[2:])
    top, left = (batch.shape[2] - size) // 2, (batch.shape[3] - size) // 2
    batch = batch[:, :, top : top + size, left : left + size]
    turns = torch.randint(0, ROTATIONS, (len(batch),), generator=generator)
    turned = torch.empty_like(batch)
    for turn in range(ROTATIONS):
        turned[turns == turn] = torch.rot90(batch[turns == turn], turn, (2, 3))
    return turned, turns


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers this small gain little from more threads, lose much where cores are shared, and now sum in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _tensor(images: NDArray[np.uint8]) -> Tensor:
    """Shares memory where PyTorch can: with arrays that are contiguous and may be written."""
    return torch.from_numpy(np.require(images, requirements=["C", "W"]))


def _scaled(images: Tensor) -> Tensor:
    """In [−1, 1], and not larger than the network takes."""
    scaled = images.float() / 127.5 - 1
    squares = _squares(images.shape[1:])
    return scaled if squares == 1 else functional.avg_pool2d(scaled, squares)


def _squares(shape: Sequence[int]) -> int:
    """Pixels a side of the squares that images of shape (C, H, W) are averaged over."""
    return -(-max(shape[1:]) // LARGEST)


def _checked(images: NDArray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise SynthgenError(
            f"expected uint8 images of shape (N, channels, height, width), found {images.dtype} of shape {images.shape}"
        )
