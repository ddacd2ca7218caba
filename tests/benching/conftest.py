import os

import pytest

from scripts.benching.datasets import TableSet


@pytest.fixture(scope="session")
def adult():
    """2,000 real rows to learn from and 2,000 to judge by."""
    if not os.environ.get("SYNTHGEN_DATA"):
        pytest.skip("SYNTHGEN_DATA is not set: it names the folder that holds tables/adult")
    return TableSet("adult", "income", limit=2000)
