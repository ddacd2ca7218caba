"""Speed, memory and time left, for loggers."""

import pandas as pd
import pytest
import torch

from synthgen.callbacks.progress import MetricsLog, peak_memory
from synthgen.training.csv_logger import CSVLogger
from tests.tiny import fit, one_stage, slow_squared_error


def test_rows_say_how_fast_how_large_and_how_long(tmp_path):
    _ = fit(
        one_stage(loss=slow_squared_error),
        tmp_path,
        16 * 40,
        callbacks=[MetricsLog(every=10)],
        loggers=[CSVLogger(str(tmp_path))],
    )
    rows = pd.read_csv(tmp_path / "metrics.csv")
    left = (640 - rows["samples_seen"]) / rows["samples_per_second"]
    assert rows["seconds_left"].tolist() == pytest.approx(left.tolist(), rel=1e-6)
    assert rows["seconds_left"].iloc[-1] == 0
    assert 0.05 < rows["peak_memory_gb"].iloc[-1] < 64


def test_time_is_left_before_a_run_in_time_has_fixed_its_budget(tmp_path):
    fit(
        one_stage(loss=slow_squared_error),
        tmp_path,
        max_time=1.5,
        callbacks=[MetricsLog(every=5)],
        loggers=[CSVLogger(str(tmp_path))],
    )
    left = pd.read_csv(tmp_path / "metrics.csv")["seconds_left"]
    assert 1 < left.iloc[0] < 1.5
    assert left.iloc[-1] < 0.5


def test_memory_is_in_gigabytes():
    before = peak_memory(torch.device("cpu"))
    held = torch.ones(int(before * 1e9 / 4) + 50_000_000)
    assert peak_memory(torch.device("cpu")) >= before + 0.1
    assert len(held)
