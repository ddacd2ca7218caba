import numpy as np
import pandas as pd
import pytest
import torch

import synthgen
from synthgen.models.stages import EMA, Optimization, StepContext
from synthgen.models.table.cellwise import CellwiseStage
from synthgen.networks.any_order import AnyOrderMLP, AnyOrderNetwork
from synthgen.networks.any_order_transformer import AnyOrderTransformer
from synthgen.networks.cells import CellKind

KINDS = (CellKind(2), CellKind(3), CellKind(1, number=True))


class Training:
    """Steps that lower the squares of all weights, of 100 examples of which the rate falls over the last 40."""

    def __init__(self, network: type[AnyOrderNetwork] = AnyOrderMLP) -> None:
        torch.manual_seed(0)
        module = network(KINDS, width=8, depth=1, components=2, knots=4)
        self.stage = CellwiseStage(
            module,
            lambda network, *_: sum(parameter.square().sum() for parameter in network.parameters()),
            Optimization(lr=0.1, cooldown=0.4),
            EMA(),
            lambda *_: torch.zeros(3),
        )
        self.optimizers = self.stage.optimizers()

    def steps(self, begin: int, end: int) -> None:
        for seen in range(begin, end):
            context = StepContext(self.optimizers, torch.Tensor.backward, torch.Generator(), seen, 100, 1, {})
            self.stage.training_step({}, context)

    def validated(self, *losses: float, rows: int = 1000) -> None:
        self.stage.validated(torch.tensor(losses), rows)


def overlearned(network: type[AnyOrderNetwork] = AnyOrderMLP) -> Training:
    """Up to where the rate begins to fall; the second cell was better before."""
    training = Training(network)
    training.steps(0, 20)
    training.validated(1.0, 2.0, 3.0)
    training.steps(20, 60)
    training.validated(1.0, 2.5, 2.9)
    return training


def rows_of(network: AnyOrderNetwork, cell: int) -> list[torch.Tensor]:
    return [parameter[cells == cell].detach().clone() for parameter, cells in network.cellwise()]


def alike(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def begun_anew(training: Training) -> list[int]:
    """Takes the step in which the rate begins to fall, at a rate of 0."""
    first = Training().stage
    training.stage.optimization = Optimization(lr=0.0, cooldown=0.4)
    training.steps(60, 61)
    module, average = (
        [alike(rows_of(n, c), rows_of(first.module, c)) for c in range(3)]
        for n in (training.stage.module, training.stage.average)
    )
    assert module == average
    return [cell for cell in range(3) if module[cell]]


def test_every_parameter_but_of_vectors_serves_one_cell():
    network = AnyOrderMLP(KINDS, width=8)
    vectors = {id(parameter) for parameter in network.embedding.parameters()}
    own = {id(parameter) for parameter, _ in network.cellwise()}
    assert own | vectors == {id(parameter) for parameter in network.parameters()}
    assert not own & vectors
    assert all(len(parameter) == len(cells) for parameter, cells in network.cellwise())


def test_a_cell_that_was_better_before_is_begun_anew_when_the_rate_falls():
    training = overlearned()
    assert begun_anew(training) == [1]
    squares = training.optimizers[0].state[training.stage.module.hidden[0].weight]["exp_avg_sq"].flatten(1).mean(dim=1)
    assert squares[1] < squares[0] / 5
    assert squares[2] > squares[0] / 5


def test_it_is_begun_anew_once():
    training = overlearned()
    training.steps(60, 70)
    was = rows_of(training.stage.module, 1)
    training.validated(1.0, 9.0, 2.9)
    training.stage.optimization = Optimization(lr=0.0, cooldown=0.4)
    training.steps(70, 71)
    assert alike(rows_of(training.stage.module, 1), was)


def test_a_cell_whose_best_took_longer_than_is_left_goes_on():
    training = Training()
    training.steps(0, 50)
    training.validated(1.0, 2.0, 3.0)
    training.steps(50, 60)
    training.validated(1.5, 2.5, 3.5)
    assert begun_anew(training) == []


def test_what_few_rows_say_by_chance_does_not_count():
    training = Training()
    training.steps(0, 20)
    training.validated(1.0, 2.0, 3.0, rows=100)
    training.steps(20, 60)
    training.validated(1.04, 2.06, 2.9, rows=100)
    assert begun_anew(training) == [1]


def test_without_validation_all_cells_go_on():
    training = Training()
    training.steps(0, 60)
    assert begun_anew(training) == []


def test_cells_that_share_more_than_their_vectors_go_on():
    training = overlearned(AnyOrderTransformer)
    was = [parameter.clone() for parameter in training.stage.module.parameters()]
    training.stage.optimization = Optimization(lr=0.0, cooldown=0.4)
    training.steps(60, 61)
    assert training.stage.falling
    assert alike(was, list(training.stage.module.parameters()))


@pytest.mark.parametrize("until", [40, 65])
def test_its_state_goes_on(until):
    straight, stopped, resumed = Training(), Training(), Training()
    for training in (straight, stopped):
        training.steps(0, 20)
        training.validated(1.0, 2.0, 3.0)
        training.steps(20, 40)
        training.validated(1.0, 2.5, 2.9)
        training.steps(40, until)
    resumed.stage.load_state_dict(stopped.stage.state_dict())
    resumed.optimizers[0].load_state_dict(stopped.optimizers[0].state_dict())
    for training in (straight, resumed):
        training.validated(0.9, 2.5, 2.9)  # a signal may have come before it was done
        training.steps(until, 80)
    states = [list(training.stage.state_dict().values()) for training in (straight, resumed)]
    assert alike(*states)


def test_rows_that_nobody_learned_from_are_likelier_for_it(monkeypatch):
    rng = np.random.default_rng(1)
    amounts = rng.normal(size=(3000, 2)) @ rng.normal(size=(2, 6)) + 0.05 * rng.normal(size=(3000, 6))
    words = pd.DataFrame(rng.choice([f"w{i}" for i in range(150)], size=(3000, 2)), columns=["u", "v"])
    frame = pd.concat([pd.DataFrame(amounts, columns=list("abcdef")), words], axis=1)
    settings = {"max_samples": 150_000, "seed": 0, "overrides": ["callbacks=none", "trainer=cpu"]}
    found = []
    for _ in range(2):
        found.append(synthgen.fit(frame[:1500], "table/argn", **settings).log_prob(frame[1500:]).mean())
        monkeypatch.setattr(CellwiseStage, "_begin_anew", lambda *_: None)
    assert found[0] > found[1]
