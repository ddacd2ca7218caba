import csv

import numpy as np
import pandas as pd

from synthgen.training.csv_logger import CSVLogger


def test_rows_are_appended_across_restarts(tmp_path):
    for restart in range(3):
        logger = CSVLogger(str(tmp_path))
        for step in (10, 20):
            logger.log_metrics({"loss": restart + step / 100}, step=100 * restart + step)
    frame = pd.read_csv(tmp_path / "metrics.csv")
    assert list(frame.columns) == ["samples_seen", "loss"]
    assert frame["samples_seen"].tolist() == [10, 20, 110, 120, 210, 220]
    np.testing.assert_allclose(frame["loss"], [0.1, 0.2, 1.1, 1.2, 2.1, 2.2])


def test_a_new_metric_gets_a_column_and_old_rows_are_kept(tmp_path):
    logger = CSVLogger(str(tmp_path / "new folder"))
    logger.log_metrics({"loss": 1.5}, step=10)
    logger.log_metrics({"val/loss": 2.5}, step=10)
    logger.log_metrics({"loss": 1.25}, step=20)
    logger.log_metrics({"val/loss": 2.25, "loss": 1.0}, step=30)
    frame = pd.read_csv(tmp_path / "new folder" / "metrics.csv")
    assert list(frame.columns) == ["samples_seen", "loss", "val/loss"]
    assert frame["samples_seen"].tolist() == [10, 10, 20, 30]
    np.testing.assert_array_equal(frame["loss"], [1.5, np.nan, 1.25, 1.0])
    np.testing.assert_array_equal(frame["val/loss"], [np.nan, 2.5, np.nan, 2.25])


def test_a_metric_that_is_missing_once_does_not_shift_the_others(tmp_path):
    logger = CSVLogger(str(tmp_path))
    logger.log_metrics({"a": 1.0, "b": 2.0}, step=1)
    logger.log_metrics({"b": 3.0}, step=2)
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "metrics.csv")[["a", "b"]], [[1, 2], [np.nan, 3]])


def test_numbers_are_written_with_their_full_precision(tmp_path):
    logger = CSVLogger(str(tmp_path))
    for step in range(3):
        logger.log_metrics({"loss": 1 / 3, f"metric {step}": 2 / 3}, step=10_000_000 + step)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [1 / 3] * 3
    assert [row["samples_seen"] for row in rows] == ["10000000", "10000001", "10000002"]


def test_settings_are_not_logged_and_the_name_holds_for_all_restarts(tmp_path):
    logger = CSVLogger(str(tmp_path))
    logger.log_hyperparams({"lr": 1})
    assert list(tmp_path.iterdir()) == []
    assert (logger.name, logger.version) == ("csv", "")
