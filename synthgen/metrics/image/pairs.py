"""How close are images to the very images that they should repeat: reconstructions by an autoencoder."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from synthgen.errors import SynthgenError
from synthgen.metrics.intervals import Estimate, bootstrapped

__all__ = ["psnr", "ssim"]

WINDOW = 11  # pixels a side of SSIM's window
BATCH = 256


def psnr(images: NDArray[np.uint8], reconstructed: NDArray[np.uint8], seed: int = 0) -> Estimate:
    """Peak signal-to-noise ratio, 10 log₁₀(255² / MSE) in dB, at least 0; higher is better, infinite for equal images.

    The mean squared error is that of all pixels of all images, so that one exact image does not make it infinite. A
    shift by one pixel costs as much as noise, and a blurred image scores better than a sharp one in the wrong place.

    Args:
        images: Shape (N, C, H, W), uint8, any number of channels.
        reconstructed: The same images in the same order, of the same shape.
        seed: Of the interval's resamples of images.

    Raises:
        SynthgenError: When images are not uint8 of shape (N, C, H, W), their shapes differ, or there are none.
    """
    _check(images, reconstructed)
    ratios = [
        peak_signal_noise_ratio(b, a, data_range=255.0, reduction="none", dim=(1, 2, 3))
        for a, b in _batches(images, reconstructed)
    ]
    noise = 10 ** (-torch.cat(ratios).double().numpy() / 10)  # MSE / 255² of each image
    found = _mean(noise, (0.0, 1.0), seed)
    with np.errstate(divide="ignore"):
        value, high, low = -10 * np.log10([found.value, found.low, found.high])
    return Estimate(float(value), float(low), float(high))


def ssim(images: NDArray[np.uint8], reconstructed: NDArray[np.uint8], seed: int = 0) -> Estimate:
    """Structural similarity, the mean over images, in [−1, 1]; higher is better, 1 for equal images.

    Wang et al. (2004, equation 13) with their constants (K₁ = 0.01, K₂ = 0.03, a Gaussian window of 11 pixels, σ =
    1.5) over grey levels 0 to 255, each channel by itself, edges mirrored. It compares brightness, contrast and
    structure nearby; it does not know what an image shows, and is blind to a change of hue that keeps each channel.

    Args:
        images: Shape (N, C, H, W), uint8, any number of channels, at least 11 pixels a side.
        reconstructed: The same images in the same order, of the same shape.
        seed: Of the interval's resamples of images.

    Raises:
        SynthgenError: As `psnr` does, or when images are smaller than the window.
    """
    _check(images, reconstructed)
    if min(images.shape[2:]) < WINDOW:
        raise SynthgenError(
            f"SSIM needs images of {WINDOW} pixels a side, its window, found {images.shape[2]}×{images.shape[3]}"
        )
    found = [
        structural_similarity_index_measure(b, a, data_range=255.0, reduction="none")
        for a, b in _batches(images, reconstructed)
    ]
    return _mean(torch.cat([torch.as_tensor(part) for part in found]).double().numpy(), (-1.0, 1.0), seed)


def _mean(values: NDArray[np.float64], limits: tuple[float, float], seed: int) -> Estimate:
    """Over images; nothing is known of a single one's spread."""
    if len(values) == 1:
        return Estimate(float(values[0]), *limits)
    return bootstrapped(lambda rows: float(values[rows].mean()), len(values), seed=seed, limits=limits)


def _check(images: NDArray[np.uint8], reconstructed: NDArray[np.uint8]) -> None:
    for side, given in (("images", images), ("reconstructed images", reconstructed)):
        if given.dtype != np.uint8 or given.ndim != 4:
            raise SynthgenError(f"{side}: expected uint8 of shape (N, C, H, W), found {given.dtype} of {given.shape}")
    if images.shape != reconstructed.shape:
        raise SynthgenError(f"images have shape {images.shape}, reconstructed ones {reconstructed.shape}")
    if not images.size:
        raise SynthgenError("there are no images to compare")


def _batches(
    images: NDArray[np.uint8], reconstructed: NDArray[np.uint8]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(0, len(images), BATCH):
        yield _float(images[start : start + BATCH]), _float(reconstructed[start : start + BATCH])


def _float(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32))
