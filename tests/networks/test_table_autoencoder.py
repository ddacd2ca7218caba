import pytest
import torch

from synthgen.networks.cells import CellKind
from synthgen.networks.table_autoencoder import TableAutoencoder

KINDS = [CellKind(3), CellKind(2, number=True), CellKind(1, number=True), CellKind(40, ordered=39)]


def autoencoder():
    torch.manual_seed(0)
    return TableAutoencoder(KINDS, latent=4, width=16, depth=1, heads=2)


def cells(rows):
    generator = torch.Generator().manual_seed(0)
    values = torch.stack([torch.randint(kind.values, (rows,), generator=generator) for kind in KINDS], dim=1)
    return values, torch.randn(rows, len(KINDS), generator=generator)


def test_rows_become_latents_and_latents_predictions_of_every_cell():
    coder = autoencoder()
    mean, logvar = coder.encode(*cells(7))
    assert mean.shape == logvar.shape == (7, coder.latents) == (7, 16)
    logits, means = coder.decode(mean)
    assert means.shape == (2, 7)
    assert coder.numbers.tolist() == [1, 2]
    predicted = {cell: of[i] for group, of in logits for i, cell in enumerate(group.tolist())}
    assert sorted(predicted) == [0, 1, 3]  # the third holds a number always
    for cell, of_values in predicted.items():
        torch.testing.assert_close(of_values.softmax(dim=1)[:, : KINDS[cell].values].sum(dim=1), torch.ones(7))


def test_every_latent_is_decoded_with_those_of_other_cells_and_encoded_from_them():
    coder, (values, numbers) = autoencoder(), cells(5)
    mean, _ = coder.encode(values, numbers)
    changed = values.clone()
    changed[:, 0] = (values[:, 0] + 1) % 3
    assert ((coder.encode(changed, numbers)[0] - mean).abs() > 1e-6).all()
    moved = mean.clone()
    moved[:, 0] += 1
    assert ((coder.decode(moved)[1] - coder.decode(mean)[1]).abs() > 1e-6).all()


@pytest.mark.parametrize("heads", [1, 2])
def test_it_computes_in_float32_under_autocast_too(heads):
    torch.manual_seed(0)
    coder, rows = TableAutoencoder(KINDS, width=16, depth=1, heads=heads), cells(5)
    plain = coder.encode(*rows)[0]
    with torch.autocast("cpu", torch.bfloat16):
        narrow = coder.encode(*rows)[0]
        assert coder.decode(narrow)[1].dtype == torch.float32
    torch.testing.assert_close(narrow, plain, rtol=0, atol=0)
