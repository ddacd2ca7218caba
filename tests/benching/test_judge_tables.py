import numpy as np
import pytest

from scripts.benching import judge_tables
from scripts.benching.figures import figure
from synthgen.metrics.table.fidelity import shape_error


@pytest.fixture(scope="module")
def floor(adult):
    return judge_tables.floor(adult)


@pytest.fixture(scope="module")
def of_real_rows(adult, tmp_path_factory):
    """What the judge says of holdout rows that are handed in as synthetic ones."""
    file = tmp_path_factory.mktemp("judge") / "synthetic.parquet"
    adult.holdout.to_parquet(file)
    return judge_tables.figures(adult, file)


@pytest.fixture(scope="module")
def of_shuffled_columns(adult, tmp_path_factory):
    """Right columns that do not belong together."""
    file = tmp_path_factory.mktemp("judge") / "synthetic.parquet"
    adult.train.apply(lambda column: column.sample(frac=1, random_state=len(column.name)).to_numpy()).to_parquet(file)
    return judge_tables.figures(adult, file)


def test_every_figure_is_a_number_with_a_direction(of_real_rows, floor):
    for group, values in of_real_rows.items():
        for name, value in values.items():
            assert figure(name).better
            assert np.isfinite(value), name
            assert group == "protocol" or name in floor["sized"], name
    assert len(of_real_rows["protocol"]) == 10
    assert len(of_real_rows["sized"]) == 15


def test_real_rows_in_the_place_of_synthetic_ones_are_at_the_floor(of_real_rows, floor):
    sized = dict(floor["sized"])
    detector = sized.pop("detector AUC")  # there the holdout's partner is training rows, here the holdout itself
    assert detector == pytest.approx(0.5, abs=0.05)
    assert {name: value for name, value in of_real_rows["sized"].items() if name in sized} == sized
    assert of_real_rows["protocol"]["C2ST"] > 0.9


def test_columns_that_do_not_belong_together_are_seen(of_shuffled_columns, floor):
    found, real = of_shuffled_columns["sized"], floor["sized"]
    assert found["shape error"] < 0.01
    assert found["trend error"] > 1.5 * real["trend error"]
    assert found["detector AUC"] > 0.9
    assert found["C2ST"] < 0.3
    assert found["precision"] < real["precision"] - 0.1
    assert of_shuffled_columns["protocol"]["TSTR AUC"] < 0.65 < 0.85 < floor["protocol"]["TSTR AUC"]
    assert of_shuffled_columns["protocol"]["MLE AUC"] < 0.65 < 0.85 < floor["protocol"]["MLE AUC"]


def test_protocol_figures_are_of_all_rows(adult, of_shuffled_columns, tmp_path):
    twice = adult.train.sample(2 * len(adult.train), replace=True, random_state=0)
    twice.to_parquet(tmp_path / "twice.parquet")
    found = judge_tables.figures(adult, tmp_path / "twice.parquet")
    assert found["protocol"]["shape error"] == shape_error(adult.train, twice, adult.schema)
    assert found["sized"]["shape error"] != found["protocol"]["shape error"]
    assert found["protocol"]["copied rows"] == 1
    assert found["protocol"]["closest-record p"] < 1e-6
