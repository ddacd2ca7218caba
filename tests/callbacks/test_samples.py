"""Pictures of samples."""

import numpy as np
import pandas as pd
from PIL import Image

from synthgen.callbacks.evaluation import Evaluation
from synthgen.callbacks.samples import Samples, marginals
from tests.callbacks.runs import train
from tests.tables import people, schema_of


def test_images_are_a_grid_in_the_order_of_their_labels(tmp_path):
    looks = Evaluation(every=128, samples=64, share=None, looks={"samples": Samples(images=16)})
    model, _ = train("image/vae", tmp_path, [looks], steps=4)
    files = sorted(file.name for file in (tmp_path / "samples").iterdir())
    assert files == ["0000000128.png", "0000000256.png"]
    picture = np.asarray(Image.open(tmp_path / "samples" / files[-1]))
    assert picture.shape == (131, 131, 3)  # 4 × 4 images of 32 pixels, a pixel apart
    drawn = model.sample(64, seed=1_000_003)
    order = drawn["label"][:16].argsort(stable=True)
    first = drawn["image"][order[0], 0].numpy().repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(picture[:32, :32, 0], first)


def test_tables_are_their_columns(tmp_path):
    looks = Evaluation(every=512, samples=64, share=None, looks={"samples": Samples(columns=4)})
    train("table/tvae", tmp_path, [looks], steps=2)
    assert Image.open(tmp_path / "samples" / "0000000512.png").size == (1200, 580)


def test_every_kind_of_column_is_drawn_and_a_difference_shows():
    real, other = people(300, 0), people(300, 1)
    real["$x^"] = real["pay"]  # no formula
    other["$x^"] = np.nan
    schema = schema_of(real)
    same, different = (np.asarray(marginals(real, frame, schema, "people")) for frame in (real, other))
    assert same.shape == different.shape
    assert (same != different).mean() > 0.005
    bright = pd.Series(same.reshape(-1, 3).tolist()).map(tuple)
    assert (228, 87, 46) in set(bright)  # the synthetic side's colour
