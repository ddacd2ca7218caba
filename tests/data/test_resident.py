from itertools import islice

import pytest
import torch

from synthgen.data.resident import ResidentLoader


def data(rows):
    return {"row": torch.arange(rows), "twice": torch.arange(rows)[:, None] * 2}


def stream(loader, batches):
    return [batch["row"] for batch in islice(loader, batches)]


@pytest.mark.parametrize(("rows", "batch"), [(12, 4), (13, 4), (12, 5), (7, 7), (5, 12), (3, 50), (1, 4), (100, 1)])
def test_every_row_comes_once_an_epoch_and_every_batch_is_full(rows, batch):
    epochs = 6
    batches = -(-rows * epochs // batch)
    seen = stream(ResidentLoader(data(rows), batch, seed=3), batches)
    assert all(len(part) == batch for part in seen)
    for epoch in torch.cat(seen)[: rows * epochs].split(rows):
        assert epoch.sort().values.tolist() == list(range(rows))


def test_rows_of_all_tensors_stay_together():
    for batch in islice(ResidentLoader(data(10), 3), 8):
        assert torch.equal(batch["twice"][:, 0], 2 * batch["row"])


def test_epochs_and_seeds_differ_and_one_seed_is_one_stream():
    first, second = torch.cat(stream(ResidentLoader(data(50), 25), 4)).split(50)
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.arange(50))
    assert torch.equal(first, torch.cat(stream(ResidentLoader(data(50), 10), 5)))
    assert not torch.equal(first, torch.cat(stream(ResidentLoader(data(50), 25, seed=1), 2)))


@pytest.mark.parametrize(("rows", "batch"), [(24, 2), (25, 3), (5, 8)])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_are_disjoint_and_together_the_stream_of_one(rows, batch, world_size):
    whole = stream(ResidentLoader(data(rows), batch * world_size, seed=5), 9)
    ranks = [
        stream(ResidentLoader(data(rows), batch, seed=5, rank=rank, world_size=world_size), 9)
        for rank in range(world_size)
    ]
    for i, together in enumerate(whole):
        parts = [rank[i] for rank in ranks]
        assert all(len(part) == batch for part in parts)
        assert torch.cat(parts).sort().values.equal(together.sort().values)


@pytest.mark.parametrize("batch", [3, 7, 25])
@pytest.mark.parametrize("taken", [0, 1, 4])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_saved_stream_goes_on_with_the_same_bytes(batch, taken, rank):
    whole = stream(ResidentLoader(data(10), batch, seed=2, rank=rank, world_size=2), taken + 8)
    begun = ResidentLoader(data(10), batch, seed=2, rank=rank, world_size=2)
    stream(begun, taken)
    state = begun.state_dict()
    assert state == {"position": taken * batch * 2}
    resumed = ResidentLoader(data(10), batch, seed=2, rank=rank, world_size=2)
    resumed.load_state_dict(state)
    for part, expected in zip(stream(resumed, 8), whole[taken:], strict=True):
        assert torch.equal(part, expected)


def test_a_stream_keeps_few_permutations_however_long_it_runs():
    loader = ResidentLoader(data(10), 4)
    stream(loader, 500)
    assert len(loader._permutations) <= 2


def test_the_order_of_batches_is_independent_of_torchs_own_generator():
    torch.manual_seed(0)
    first = stream(ResidentLoader(data(20), 20), 1)[0]
    torch.manual_seed(1)
    assert torch.equal(first, stream(ResidentLoader(data(20), 20), 1)[0])
