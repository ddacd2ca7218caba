"""A part of the fuzz that `scripts/faults` does in full."""

import pytest

from tests.faults.fuzz import fuzz_checkpoint, fuzz_csv


@pytest.mark.parametrize(("fuzz", "number"), [(fuzz_checkpoint, 50), (fuzz_csv, 60)])
def test_mutated_input_is_refused_or_works(tmp_path, fuzz, number):
    seen = {}
    for seed in range(number):
        seen.setdefault(fuzz(seed, tmp_path / "mutated"), []).append(seed)
    assert {"refused", "worked"} == set(seen), "mutations that are too mild, or too harsh, find nothing"
