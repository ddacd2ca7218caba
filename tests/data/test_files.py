import numpy as np
import pandas as pd
import pytest

from synthgen.data.files import read_data
from synthgen.data.images.images import Images
from synthgen.data.images.outputs import write_images
from synthgen.data.tables.outputs import write_table
from synthgen.errors import SynthgenError


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_tables_are_read_by_their_suffix(tmp_path, name):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "None"]})
    write_table(frame, str(tmp_path / name))
    pd.testing.assert_frame_equal(read_data(str(tmp_path / name)), frame)


@pytest.mark.parametrize("name", ["folder", "images.npz"])
def test_images_are_read_from_a_folder_or_arrays(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6), dtype=np.uint8)
    write_images(Images(pixels), str(tmp_path / name))
    np.testing.assert_array_equal(read_data(str(tmp_path / name)).pixels, pixels)


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(SynthgenError, match="cannot tell the format"):
        read_data(str(tmp_path / "thing.xyz"))
    with pytest.raises(SynthgenError, match="no such file"):
        read_data(str(tmp_path / "thing.npz"))
