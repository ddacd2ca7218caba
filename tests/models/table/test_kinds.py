"""Dates, very many words and keys through whole models: learned, drawn, asked for."""

import numpy as np
import pandas as pd
import pytest

import synthgen
from synthgen.layout import Kind


@pytest.fixture(scope="module")
def sales():
    """On weekdays only, two thirds of them on Mondays; an article of 2,000, and a key."""
    rng = np.random.default_rng(0)
    n = 3000
    weekday = rng.choice(5, n, p=[2 / 3, *[1 / 12] * 4])
    day = np.datetime64("2023-01-02") + 7 * rng.integers(0, 104, n) + weekday
    return pd.DataFrame(
        {
            "sale_id": np.arange(n) + 70_000,
            "day": pd.Series(day.astype("datetime64[s]")).mask(rng.random(n) < 0.1),
            "article": [f"{i:05d}" for i in rng.integers(0, 2000, n)],
            "amount": rng.gamma(2, 10, n).round(2),
        }
    )


def test_a_weekly_rhythm_survives(sales):
    drawn = synthgen.fit(sales, "table/copula", seed=0, overrides=["callbacks=none"]).sample(3000, seed=1)
    shares = [
        rows["day"].dropna().dt.day_of_week.value_counts(normalize=True).reindex(range(7), fill_value=0)
        for rows in (sales, drawn)
    ]
    np.testing.assert_allclose(shares[1], shares[0], atol=0.03)
    assert shares[1][5:].eq(0).all(), "nothing is sold at weekends"
    assert drawn["day"].isna().mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("model", ["argn", "tabdiff", "tabsyn", "ctgan", "tvae", "copula"])
def test_every_model_learns_every_kind_and_takes_conditions_on_them(sales, model):
    small = {"argn": ["network.width=16"], "tabdiff": ["network.width=16"]}
    small["tabsyn"] = ["network.autoencoder.width=16", "network.denoiser.width=16", "model.steps=4"]
    fitted = synthgen.fit(
        sales, f"table/{model}", max_samples=2048, batch_size=256, overrides=["callbacks=none", *small.get(model, [])]
    )
    assert [column.kind for column in fitted.codec.schema][:3] == [Kind.IDENTIFIER, Kind.DATETIME, Kind.CATEGORICAL]
    assert fitted.codec.layout.digits
    drawn = fitted.sample(40, seed=1)
    assert drawn.dtypes.equals(sales.dtypes)
    assert drawn["article"].isin(sales["article"]).all()
    assert drawn["sale_id"].tolist() == list(range(73_000, 73_040)), "keys go on after the real ones"
    assert fitted.sample(10, seed=1, start=30)["sale_id"].tolist() == list(range(73_030, 73_040))
    if model in ("argn", "tabdiff"):  # by rejection, one article in 2,000 takes longer than a test may
        asked = fitted.sample(5, condition={"day": "2023-05-08", "article": sales["article"][0]})
        assert asked["day"].eq("2023-05-08").all()
        assert asked["article"].eq(sales["article"][0]).all()
