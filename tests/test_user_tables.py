"""Tables as people have them, from a raw frame or file to samples, with no schema and but a small budget."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthgen
from synthgen.errors import SynthgenError

GENERATORS = ["argn", "tabdiff", "tabsyn", "ctgan", "tvae", "copula"]
DIABETES = Path(os.environ.get("SYNTHGEN_DATA", "data")) / "tables/diabetes130/train.csv"
QUIET = ["callbacks=none", "trainer=cpu"]


def small(generator):
    if generator == "tabsyn":
        return ["network.autoencoder.width=8", "network.denoiser.width=32", "model.steps=4"]
    return ["network.width=32"] if generator in ("argn", "tabdiff") else []


@pytest.fixture(scope="module")
def orders():
    """A shop's orders: amounts of which six in ten are 0, a weekly rhythm, codes, long keys, cells missing together."""
    random = np.random.default_rng(0)
    n = 12_000
    days = pd.Timestamp("2023-01-02") + pd.to_timedelta(random.integers(0, 104, n) * 7, unit="D")
    days += pd.to_timedelta(random.choice(7, n, p=[0.3, 0.2, 0.2, 0.15, 0.1, 0.05, 0.0]), unit="D")
    gift = random.random(n) < 0.6
    unknown = random.random(n) < 0.25
    channel = random.choice(["web", "shop", "phone"], n, p=[0.6, 0.3, 0.1])
    return pd.DataFrame(
        {
            "day": days,
            "postcode": pd.Series([f"{code:05}" for code in random.choice([1067, 4109, 10115, 53113], n)], dtype="str"),
            "amount": np.where(gift, 0.0, random.lognormal(3, 1, n).round(2)),
            "voucher": np.where(gift, "yes", "no"),
            "height": np.where(unknown, np.nan, random.normal(170, 10, n).round(1)),
            "weight": np.where(unknown | (random.random(n) < 0.05), np.nan, random.normal(70, 12, n).round(1)),
            "account": 2**53 + random.integers(0, 2**40, n) * 2 + 1,
            "channel": channel,
            # By phone nothing is paid by card: the two were never seen together.
            "paid": np.where(channel == "phone", "bill", random.choice(["card", "bill"], n)),
        }
    )


@pytest.fixture(scope="module")
def shop(orders):
    return synthgen.fit(orders, max_samples=250_000, batch_size=256, overrides=["network.width=96", *QUIET])


@pytest.fixture(scope="module")
def drawn(shop):
    return shop.sample(12_000, seed=1)


def test_zeros_rhythms_codes_and_long_numbers_come_back(orders, drawn):
    assert (drawn["amount"] == 0).mean() == pytest.approx(0.6, abs=0.02)
    assert ((drawn["amount"] == 0) == (drawn["voucher"] == "yes")).mean() > 0.98
    paid, expected = (frame.loc[frame["amount"] > 0, "amount"] for frame in (drawn, orders))
    assert np.log(paid).mean() == pytest.approx(np.log(expected).mean(), abs=0.1)
    weekdays = drawn["day"].dt.dayofweek.value_counts(normalize=True).reindex(range(7), fill_value=0)
    assert weekdays.to_numpy() == pytest.approx([0.3, 0.2, 0.2, 0.15, 0.1, 0.05, 0.0], abs=0.02)
    assert set(drawn["postcode"]) == {"01067", "04109", "10115", "53113"}
    assert drawn["account"].dtype == orders["account"].dtype
    assert drawn["account"].min() >= 2**53
    assert (drawn["account"] % 2 == 1).any()  # digits that a float would lose


def test_cells_are_missing_together(orders, drawn):
    both, first = (drawn["height"].isna() & drawn["weight"].isna()).mean(), drawn["height"].isna().mean()
    assert first == pytest.approx(orders["height"].isna().mean(), abs=0.02)
    assert both == pytest.approx(first, abs=0.02)
    assert (drawn["weight"].isna() & drawn["height"].notna()).mean() == pytest.approx(0.75 * 0.05, abs=0.015)


def test_conditions_that_were_never_seen_together_are_met(shop):
    fake = shop.sample(500, condition={"channel": "phone", "paid": "card", "day": "2023-01-07"})
    assert set(fake["channel"]) == {"phone"}
    assert set(fake["paid"]) == {"card"}
    assert set(fake["day"]) == {pd.Timestamp("2023-01-07")}
    assert fake["postcode"].nunique() == 4
    with pytest.raises(SynthgenError, match="condition day: training never saw '2023-01-08'"):
        shop.sample(5, condition={"day": "2023-01-08"})  # a Sunday, on which nobody ever ordered
    ordinary = shop.sample(500, condition={"channel": "phone"})
    assert (ordinary["paid"] == "bill").mean() > 0.97


@pytest.mark.skipif(not DIABETES.is_file(), reason="needs the data sets that SYNTHGEN_DATA names")
@pytest.mark.parametrize("generator", GENERATORS)
def test_every_generator_learns_diabetes130_from_its_raw_file(tmp_path, generator):
    pd.read_csv(DIABETES, dtype="str", keep_default_na=False, nrows=3000).to_csv(tmp_path / "raw.csv", index=False)
    raw = str(tmp_path / "raw.csv")
    fitted = synthgen.fit(raw, f"table/{generator}", max_samples=20_000, overrides=[*small(generator), *QUIET])
    real, fake = pd.read_csv(tmp_path / "raw.csv", keep_default_na=False), fitted.sample(500)
    assert set(fake.columns) <= set(real.columns)
    assert len(fake.columns) >= len(real.columns) - 1
    assert fake["encounter_id"].is_unique
    assert not set(fake["encounter_id"]) & set(real["encounter_id"])
    for name in ("race", "gender", "age", "readmitted"):
        assert set(fake[name].dropna()) <= set(real[name])


@pytest.mark.parametrize("generator", GENERATORS)
def test_five_hundred_columns(generator):
    random = np.random.default_rng(0)
    hidden = random.normal(size=1000)
    wide = pd.DataFrame({f"x{i}": (hidden + random.normal(size=1000)).round(2) for i in range(350)})
    words = {f"w{i}": np.where(hidden + random.normal(size=1000) > 0, "high", "low") for i in range(150)}
    wide = pd.concat([wide, pd.DataFrame(words)], axis=1)
    fake = synthgen.fit(wide, f"table/{generator}", max_samples=2000, overrides=[*small(generator), *QUIET]).sample(200)
    assert fake.columns.tolist() == wide.columns.tolist()
    assert fake.dtypes.equals(wide.dtypes)
    assert not fake.isna().any().any()


def test_two_hundred_thousand_words():
    random = np.random.default_rng(0)
    group = random.integers(0, 20, 400_000)
    code = group * 10_000 + random.integers(0, 10_000, 400_000)
    frame = pd.DataFrame({"code": pd.Series([f"C{c:06}" for c in code], dtype="str"), "group": group.astype(str)})
    assert frame["code"].nunique() > 170_000
    fitted = synthgen.fit(frame, max_samples=300_000, overrides=["network.width=64", *QUIET])
    fake = fitted.sample(4000)
    assert set(fake["code"]) <= set(frame["code"])
    assert fake["code"].nunique() > 3500
    belongs = fake["code"].str[1:].astype(int) // 10_000 == fake["group"].astype(int)
    assert belongs.mean() > 0.9


def test_infinities_are_refused_by_name():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.inf, 4.0] * 20, "b": list("abcd") * 20})
    with pytest.raises(SynthgenError, match="column 'a': found 20 infinite values"):
        synthgen.fit(frame)
