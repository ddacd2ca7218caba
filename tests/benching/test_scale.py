import json

import pytest

from scripts.benching import scale


def test_tables_have_the_size_and_the_words_that_are_asked_for():
    frame = scale.table(500, 25)
    assert frame.shape == (500, 25)
    assert frame.isna().any().sum() == 2
    assert scale.with_words(500, 40)["code"].nunique() == 40


def test_a_size_is_measured_once_and_written_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "RESULTS", tmp_path / "scale.json")
    monkeypatch.setattr(scale, "COLUMNS", (10,))
    told = []
    scale.measure_all(models=["argn"], rows=[3000], tell=told.append)
    assert len(told) == 1
    (held,) = json.loads(scale.RESULTS.read_text())
    assert held["seconds an epoch"] == pytest.approx(3000 / held["examples a second"], abs=0.06)
    assert held["peak memory, MiB"] >= held["memory before, MiB"] > 100
    scale.measure_all(models=["argn"], rows=[3000], tell=told.append)
    assert len(told) == 1
    page = "\n".join(scale.scale_page())
    assert f"| argn | 3,000 | 10 | | {held['seconds before training']:,} |" in page
