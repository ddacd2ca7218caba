"""Tiny synthesizers, trained once, for tests that need one whatever it has learned."""

import numpy as np
import pandas as pd
import pytest

TINY_TABLE = ["network.width=32", "network.depth=1", "callbacks=none", "trainer=cpu"]
TINY_IMAGES = ["network.width=8", "network.blocks=1", "model.steps=2", "callbacks=none", "trainer=cpu"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Classifiers and features that tests make are kept for the tests after them, and not among a person's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def people():
    """400 rows with every kind of column, a missing value in ten, and a dependence of income on age."""
    rng = np.random.default_rng(0)
    age = rng.integers(18, 90, 400)
    town = rng.choice(["Bonn", "Köln", "None", "St. John's (west)"], 400).astype(object)
    town[::10] = None
    return pd.DataFrame(
        {
            "age": age,
            "weight": np.round(rng.normal(70, 12, 400), 1),
            "hours per week": np.where(rng.random(400) < 0.4, 40.0, np.round(rng.uniform(1, 99, 400), 3)),
            "town": pd.Series(town, dtype="str"),
            "member": rng.random(400) < 0.3,
            "income": np.where(age + rng.normal(0, 10, 400) > 50, ">50K", "<=50K"),
            "country": "here",
        }
    )


@pytest.fixture(scope="session")
def table_synthesizer(people):
    import synthgen

    return synthgen.fit(people, target="income", max_samples=4096, batch_size=128, overrides=TINY_TABLE)


@pytest.fixture(scope="session")
def table_checkpoint(table_synthesizer, tmp_path_factory):
    return table_synthesizer.save(tmp_path_factory.mktemp("checkpoints") / "people")


@pytest.fixture(scope="session")
def image_synthesizer():
    import synthgen

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    images = (rng.integers(0, 60, (120, 8, 8)) + 150 * labels[:, None, None]).astype(np.uint8)
    names = np.array(["dark", "light"])[labels]
    return synthgen.fit(images, labels=names, max_samples=2048, batch_size=64, overrides=TINY_IMAGES)


@pytest.fixture(scope="session")
def image_checkpoint(image_synthesizer, tmp_path_factory):
    return image_synthesizer.save(tmp_path_factory.mktemp("checkpoints") / "squares")
