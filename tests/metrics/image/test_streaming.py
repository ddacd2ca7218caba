"""The Fréchet distance batch by batch: one process, two processes, and beside torchmetrics' own."""

import sys

import numpy as np
import pytest
import torch
from torch import multiprocessing, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from synthgen.errors import SynthgenError
from synthgen.metrics.image.fidelity import frechet_distance
from synthgen.metrics.image.streaming import FrechetDistance
from tests.metrics.image.one_of_two import one_of_two
from tests.metrics.test_neighbours import clouds


def streamed(features, reference, sizes=(7, 100, 1, 192)):
    metric = FrechetDistance(reference)
    for part in torch.from_numpy(features).split(list(sizes)):
        metric.update(part)
    return float(metric.compute())


def test_batches_give_what_all_features_give():
    a, b = clouds(rows=(300, 400))
    assert streamed(a, b) == pytest.approx(frechet_distance(a, b), rel=1e-10)
    # Far from the origin, where sums of squares lose the spread.
    assert streamed(a + 1e6, b + 1e6) == pytest.approx(frechet_distance(a, b), rel=1e-6)
    single = torch.from_numpy(a).float()
    assert streamed(single.numpy(), b) == pytest.approx(frechet_distance(a, b), rel=1e-5)


def test_a_singular_covariance_costs_few_digits():
    a, b = clouds(rows=(300, 8))
    assert streamed(a, b) == pytest.approx(frechet_distance(a, b), rel=1e-6)
    a[:, 3] = 0
    assert streamed(a, b[:, :]) == pytest.approx(frechet_distance(a, b), rel=1e-6)
    assert streamed(a, a) == pytest.approx(0, abs=1e-6)


class Itself(nn.Module):
    """Takes images for features."""

    num_features = 12

    def forward(self, images):
        return images.flatten(1)


def test_against_torchmetrics_over_the_same_features():
    a, b = clouds(rows=(300, 300))
    reference = FrechetInceptionDistance(Itself(), input_img_size=(12, 1, 1))
    reference.set_dtype(torch.float64)
    for real, side in ((False, a), (True, b)):
        reference.update(torch.from_numpy(side)[:, :, None, None], real=real)
    expected = float(reference.compute())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert streamed(a, b, sizes=(150, 150)) == pytest.approx(expected, rel=1e-4)


def test_it_starts_again():
    a, b = clouds(rows=(300, 400))
    metric = FrechetDistance(b)
    metric.update(torch.from_numpy(a + 5))
    metric.reset()
    metric.update(torch.from_numpy(a))
    assert float(metric.compute()) == pytest.approx(frechet_distance(a, b), rel=1e-10)
    assert metric.state_dict() == {}


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch was built without distributed")
def test_two_processes_find_what_one_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    a, b = clouds(rows=(300, 400))
    np.save(tmp_path / "features.npy", a)
    np.save(tmp_path / "reference.npy", b)
    multiprocessing.spawn(one_of_two, (tmp_path,), nprocs=2)
    expected = frechet_distance(np.concatenate([a[0::3], a[1::3]]), b)
    for rank in range(2):
        assert float((tmp_path / f"found{rank}").read_text()) == pytest.approx(expected, rel=1e-10)


def test_errors():
    a, b = clouds()
    with pytest.raises(SynthgenError, match="at least 2 images"):
        FrechetDistance(b[:1])
    metric = FrechetDistance(b)
    with pytest.raises(SynthgenError, match=r"expected features of shape \(n, 12\), found \(3, 5\)"):
        metric.update(torch.zeros(3, 5))
    metric.update(torch.from_numpy(a[:1]))
    with pytest.raises(SynthgenError, match="at least 2 images, found 1"):
        metric.compute()


@pytest.mark.gpu
def test_it_runs_where_it_is_put():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    a, b = clouds(rows=(300, 400))
    metric = FrechetDistance(b).to("cuda")
    metric.update(torch.from_numpy(a).cuda())
    assert metric.compute().device.type == "cuda"
    assert float(metric.compute()) == pytest.approx(frechet_distance(a, b), rel=1e-8)
