"""Where features come from: the field's published networks, read from a local weights file, or a `DomainClassifier`.

A figure over features means something only beside figures over the same features, so that an extractor's name says
which weights it holds and how images reach its size: "inception-6726825d-legacy299". Nothing is ever downloaded.
"""

import hashlib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from synthgen.errors import SynthgenError, nearest
from synthgen.metrics.image.backbones import CLIPImageTower, DINOv2, FIDInception

__all__ = [
    "CLIPExtractor",
    "DINOv2Extractor",
    "Extractor",
    "FileExtractor",
    "InceptionExtractor",
    "extracted",
    "resized",
]

RESIZES = ("bilinear", "bicubic", "legacy")
BATCH = 32
CHUNK = 1024  # images between two reports of progress


class Extractor(Protocol):
    """What measures of images ask of features."""

    @property
    def name(self) -> str:
        """Short, and in every figure over these features: "FD-NAME"."""

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the weights."""

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Shape (N, D), for images of shape (N, C, H, W), uint8."""


def extracted(
    extractor: Extractor, images: NDArray[np.uint8], progress: Callable[[float], None] | None = None
) -> NDArray[np.float32]:
    """Features of many images, shape (N, D), with the share that is done told on the way.

    Args:
        extractor: Any.
        images: Shape (N, C, H, W), N at least 1.
        progress: Called after each 1,024 images with the share that is done, up to 1.

    Raises:
        SynthgenError: As the extractor does, or when there are no images.
    """
    if not len(images):
        raise SynthgenError(f"{extractor.name} was given no images")
    parts = []
    for start in range(0, len(images), CHUNK):
        parts.append(extractor.features(images[start : start + CHUNK]).astype(np.float32))
        if progress is not None:
            progress(min(start + CHUNK, len(images)) / len(images))
    return np.concatenate(parts)


def resized(images: Tensor, size: int, resize: str) -> Tensor:
    """Images of shape (N, C, H, W) with values 0 to 255, at (N, C, size, size); what is not square is squeezed.

    Which one matters: a Fréchet distance changes by more than models differ (Parmar et al., 2022). Values are not
    rounded to whole grey levels afterwards.

    Args:
        images: Floating point.
        size: Pixels a side.
        resize: "bilinear" and "bicubic" average over the pixels that they skip (antialias), as Pillow does, the second
            clipped to 0 to 255; "legacy" is TensorFlow 1's bilinear, which skips them and puts pixel i at i·H/size.

    Raises:
        SynthgenError: When there is no such way.
    """
    if resize not in RESIZES:
        raise SynthgenError(f"no way to resize is called {resize!r}: {nearest(resize, RESIZES)}")
    if resize == "legacy":
        return _interpolated(_interpolated(images, size, 2), size, 3)
    return functional.interpolate(images, (size, size), mode=resize, antialias=True).clamp(0, 255)


class FileExtractor(ABC):
    """Features of a network whose weights lie in a local file.

    Args:
        weights: The file, as published: what `torch.save` made of names and tensors. It is read without running
            anything that it may hold.
        sha256: Hexadecimal digest that the file must have. May be left out for the published files that are known
            here, which are asked for by default.
        resize: How images reach the network's size, see `resized`; None for the family's own way.
        device: Where the network runs.

    Attributes:
        name: The family, the first 8 digits of the file's digest, and how images are resized to which size.
        digest: Hexadecimal SHA-256 of the file.

    Raises:
        SynthgenError: When the file is missing, cannot be read, or has another digest, names or shapes than expected,
            or `resize` is not known.
    """

    family: ClassVar[str]
    published: ClassVar[dict[str, str]]  # file name by SHA-256
    way: ClassVar[str]  # of resizing
    mean: ClassVar[tuple[float, ...]]  # grey levels
    deviation: ClassVar[tuple[float, ...]]
    ignored: ClassVar[tuple[str, ...]] = ()  # ends of names that features do not need

    def __init__(
        self, weights: str | Path, *, sha256: str | None = None, resize: str | None = None, device: str = "cpu"
    ) -> None:
        resize = self.way if resize is None else resize
        if resize not in RESIZES:
            raise SynthgenError(f"no way to resize is called {resize!r}: {nearest(resize, RESIZES)}")
        file = _existing(Path(weights).expanduser())
        with file.open("rb") as opened:
            self.digest = hashlib.file_digest(opened, "sha256").hexdigest()
        self._verify(file, sha256)
        tensors = self._read(file)
        with torch.device("meta"):
            network = self._network(file, tensors)
        _verify_names(file, self.family, tensors, network.state_dict(), self.ignored)
        network = network.to_empty(device="cpu")
        network.load_state_dict(tensors, strict=False)  # all that matters was compared above
        self.network = network.to(device).eval().requires_grad_(False)
        self.device, self.resize, self.size = device, resize, network.size
        self.name = f"{self.family}-{self.digest[:8]}-{resize}{self.size}"

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shape (N, D), for images of shape (N, C, H, W), uint8, with 1 or 3 channels; grey ones are repeated.

        Raises:
            SynthgenError: When images are not uint8, or have other numbers of channels.
        """
        if images.dtype != np.uint8 or images.ndim != 4:
            raise SynthgenError(
                f"expected uint8 images of shape (N, channels, height, width), found {images.dtype} of shape "
                f"{images.shape}"
            )
        if images.shape[1] not in (1, 3):
            raise SynthgenError(
                f"{self.name} reads images of 1 or 3 channels, found {images.shape[1]}: use a DomainClassifier's "
                "features for others"
            )
        mean, deviation = (
            torch.tensor(three, device=self.device)[:, None, None] for three in (self.mean, self.deviation)
        )
        parts = []
        with torch.inference_mode(), _exact():
            for start in range(0, len(images), BATCH):
                batch = torch.from_numpy(np.require(images[start : start + BATCH], requirements=["C", "W"]))
                pixels = batch.to(self.device).float().expand(-1, 3, -1, -1)
                pixels = resized(pixels, self.size, self.resize)
                parts.append(self.network((pixels - mean) / deviation).cpu())
        return torch.cat(parts).numpy()

    @abstractmethod
    def _network(self, file: Path, tensors: Mapping[str, Tensor]) -> FIDInception | DINOv2 | CLIPImageTower:
        """A network of the size that the tensors have."""

    def _verify(self, file: Path, sha256: str | None) -> None:
        if sha256 is not None:
            if self.digest != sha256.lower():
                raise SynthgenError(f"{file}: expected SHA-256 {sha256.lower()}, found {self.digest}")
        elif self.digest not in self.published:
            known = ", ".join(f"{name} ({digest[:8]}…)" for digest, name in self.published.items())
            raise SynthgenError(
                f"{file}: its SHA-256 is {self.digest}, which is none of the published {self.family} files: {known}. "
                "If it is the file that you mean, say so by sha256=…"
            )

    def _read(self, file: Path) -> dict[str, Tensor]:
        try:
            found = torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            raise SynthgenError(
                f"{file}: cannot be read as names and tensors: {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from None
        if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
            raise SynthgenError(f"{file}: expected names and tensors (a state dict), found {type(found).__name__}")
        return dict(found)


class InceptionExtractor(FileExtractor):
    """The 2048 features that define FID, from pytorch-fid's or torch-fidelity's `…inception-2015-12-05-6726825d.pth`.

    Resized by "legacy", as in the first implementation and most papers; torchmetrics' default is "bilinear".
    Arguments are `FileExtractor`'s.
    """

    family = "inception"
    published: ClassVar = {
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2": "pt_inception-2015-12-05-6726825d.pth"
    }
    way = "legacy"
    mean, deviation = (128.0,) * 3, (128.0,) * 3
    ignored = ("num_batches_tracked",)

    def _network(self, file: Path, tensors: Mapping[str, Tensor]) -> FIDInception:
        return FIDInception()


class DINOv2Extractor(FileExtractor):
    """The class token of DINOv2 ViT-S, B or L, from facebookresearch's `dinov2_vit…14_pretrain.pth`, without registers.

    Fréchet distances over ViT-L's agree with people better than Inception's do (Stein et al., 2023). Resized by
    "bicubic" to 224 pixels, as there. Arguments are `FileExtractor`'s.
    """

    family = "dinov2"
    published: ClassVar = {
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9": "dinov2_vits14_pretrain.pth",
        "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73": "dinov2_vitb14_pretrain.pth",
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428": "dinov2_vitl14_pretrain.pth",
    }
    way = "bicubic"
    mean, deviation = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    ignored = ("mask_token",)

    def _network(self, file: Path, tensors: Mapping[str, Tensor]) -> DINOv2:
        width, _, patch, _ = _shape(file, self.family, tensors, "patch_embed.proj.weight", 4)
        _, positions, _ = _shape(file, self.family, tensors, "pos_embed", 3)
        return DINOv2(width, _depth(tensors, "blocks."), patch, _grid(positions))


class CLIPExtractor(FileExtractor):
    """CLIP's image embedding, from OpenAI's `ViT-B-32.pt`, or from a state dict of another of OpenAI's ViT-B or L.

    The state dict may be that of a whole CLIP or of its image half. CLIPs of other makers may have the same names and
    shapes and another activation, which no file tells: their features would be wrong.

    Resized by "bicubic" to the size that the network was trained for, but squeezed to a square where OpenAI's code
    crops. The embedding is not normalised. Arguments are `FileExtractor`'s.
    """

    family = "clip"
    published: ClassVar = {"40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af": "ViT-B-32.pt"}
    way = "bicubic"
    mean, deviation = (122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6322959, 70.32316305)

    def _read(self, file: Path) -> dict[str, Tensor]:
        # What OpenAI publishes is TorchScript, which is a program: it is opened only when it is that very file.
        if self.digest in self.published:
            found = torch.jit.load(file, map_location="cpu").state_dict()
        else:
            found = super()._read(file)
        tower = {name.removeprefix("visual."): value for name, value in found.items() if name.startswith("visual.")}
        return tower or found

    def _network(self, file: Path, tensors: Mapping[str, Tensor]) -> CLIPImageTower:
        width, _, patch, _ = _shape(file, self.family, tensors, "conv1.weight", 4)
        if width > 1024:  # those of OpenCLIP divide into larger heads, which no tensor's shape tells
            raise SynthgenError(
                f"{file}: found a CLIP of width {width}, expected OpenAI's: ViT-B of 768 or ViT-L of 1024"
            )
        positions, _ = _shape(file, self.family, tensors, "positional_embedding", 2)
        _, features = _shape(file, self.family, tensors, "proj", 2)
        return CLIPImageTower(width, _depth(tensors, "transformer.resblocks."), patch, _grid(positions), features)


@contextmanager
def _exact() -> Iterator[None]:
    """Without TF32, which would cost three digits on a GPU, and figures would differ between machines."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _interpolated(images: Tensor, size: int, dimension: int) -> Tensor:
    """One dimension at a time; the place of each pixel is worked out in single precision, as TensorFlow does."""
    length = images.shape[dimension]
    places = torch.arange(size, dtype=torch.float32, device=images.device) * torch.tensor(length / size)
    low = places.long().clamp_max(length - 1)
    high = (low + 1).clamp_max(length - 1)
    share = (places - low).to(images.dtype)
    share = share[:, None] if dimension == 2 else share
    below, above = images.index_select(dimension, low), images.index_select(dimension, high)
    return below + (above - below) * share


def _existing(file: Path) -> Path:
    if not file.is_file():
        beside = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = f"; {nearest(file.name, beside, what='beside it are')}" if beside else ""
        raise SynthgenError(f"{file}: no such weights file{hint}")
    return file


def _verify_names(
    file: Path, family: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], ignored: tuple[str, ...]
) -> None:
    wanted = {name for name in expected if not name.endswith(ignored)} if ignored else set(expected)
    surplus = [name for name in found if name not in expected and not (ignored and name.endswith(ignored))]
    for name in sorted(wanted):
        if name not in found:
            raise SynthgenError(f"{file}: {family} needs a tensor {name!r}: {nearest(name, found, what='found')}")
        if found[name].shape != expected[name].shape:
            raise SynthgenError(
                f"{file}: {family} needs {name!r} of shape {tuple(expected[name].shape)}, found "
                f"{tuple(found[name].shape)}"
            )
    if surplus:
        raise SynthgenError(
            f"{file}: {family} has no tensor {surplus[0]!r}: {nearest(surplus[0], sorted(wanted), what='it has')}"
        )


def _shape(file: Path, family: str, found: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in found:
        raise SynthgenError(f"{file}: {family} needs a tensor {name!r}: {nearest(name, found, what='found')}")
    if found[name].ndim != dimensions:
        raise SynthgenError(
            f"{file}: {family} needs {name!r} with {dimensions} dimensions, found {tuple(found[name].shape)}"
        )
    return tuple(found[name].shape)


def _depth(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})


def _grid(positions: int) -> int:
    return round((positions - 1) ** 0.5)
