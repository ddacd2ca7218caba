"""Small sets of images whose distribution is known, and what every image model does with them."""

import numpy as np
import pytest
import torch

import synthgen


def two_greys():
    """Two classes of flat grey images, 60 ± 8 and 190 ± 8, one of them three times as frequent."""
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.25).astype(int)
    grey = rng.normal(60 + 130 * labels, 8).clip(0, 255)
    return np.broadcast_to(grey[:, None, None], (400, 8, 8)).astype(np.uint8), labels


def eight(channels, height, width):
    """Eight different images of large blocks, each a class of its own, often enough for a training set.

    Returns:
        uint8, (64, height, width, channels), and labels, (64,).
    """
    blocks = np.random.default_rng(1).integers(20, 236, (8, channels, -(-height // 8), -(-width // 8)))
    images = blocks.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width].astype(np.uint8)
    return np.tile(images.transpose(0, 2, 3, 1), (8, 1, 1, 1)), np.tile(np.arange(8), 8)


def check_learned_by_heart(fitted, images, within):
    """Each of eight classes is its one image, within so many grey levels (root mean square) of most samples."""
    real = images[:8].transpose(0, 3, 1, 2).astype(float)
    drawn = fitted.sample(64, condition={"label": [str(i % 8) for i in range(64)]})
    assert drawn.pixels.shape == (64, *real.shape[1:])
    apart = np.sqrt(((drawn.pixels[:, None] - real[None]) ** 2).mean(axis=(2, 3, 4)))
    assert np.median(apart[np.arange(64), drawn.labels]) < within
    assert (apart.argmin(axis=1) == drawn.labels).mean() > 0.95


def check_greys(fitted):
    """The classes of `two_greys` are kept to, and drawn as often as in training."""
    for label, grey in (("0", 60), ("1", 190)):
        pixels = fitted.sample(64, condition={"label": label}).pixels
        assert abs(pixels.mean() - grey) < 12
        # Images are flat: the spread lies between images and not within one.
        assert pixels.std(axis=(1, 2, 3)).mean() < 12
    drawn = fitted.sample(500)
    assert abs(drawn.labels.mean() - 0.25) < 0.06
    assert ((drawn.pixels.mean(axis=(1, 2, 3)) > 125) == drawn.labels).all()


def check_same_after_loading(fitted, folder):
    """Saved and loaded, a synthesizer draws the same bytes, at once and in parts."""
    loaded = synthgen.load(fitted.save(folder))
    drawn, again = fitted.sample(70, seed=3), loaded.sample(70, seed=3)
    assert drawn.pixels.tobytes() == again.pixels.tobytes()
    assert loaded.sample(10, seed=3, start=60).pixels.tobytes() == drawn.pixels[60:].tobytes()
    np.testing.assert_array_equal(drawn.labels, again.labels)
    assert drawn.pixels.tobytes() != fitted.sample(70, seed=4).pixels.tobytes()


def check_unlabelled(model, overrides):
    """Images without labels are learned, and come without labels."""
    images, _ = two_greys()
    fitted = synthgen.fit(images[:, :6, :7], model, max_samples=640, batch_size=32, overrides=overrides)
    drawn = fitted.sample(8)
    assert drawn.labels is None
    assert drawn.pixels.shape == (8, 1, 6, 7)


def check_on_cuda(model, overrides):
    """Trains and samples on a CUDA device."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images, labels = two_greys()
    overrides = [*(line for line in overrides if line != "trainer=cpu"), "trainer=gpu"]
    fitted = synthgen.fit(images, model, labels=labels, max_samples=2048, overrides=overrides)
    assert fitted.to("cuda").sample(8, condition={"label": "1"}).pixels.shape == (8, 1, 8, 8)
