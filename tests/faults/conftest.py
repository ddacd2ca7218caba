import pytest

from tests.faults.workplace import Workplace


@pytest.fixture(scope="package")
def workplace(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("faults"))
    yield place
    place.close()
