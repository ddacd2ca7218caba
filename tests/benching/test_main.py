import pytest

from scripts.benching.__main__ import _bench, _settings, main
from synthgen.errors import SynthgenError


def test_arguments_choose_methods_data_and_seeds():
    bench = _bench("tables", _settings(["only=copula,tvae", "data=magic", "seeds=3,4", "redo=failed,spoiled"]))
    assert [method.name for method in bench.methods] == ["copula", "tvae"]
    assert [dataset.name for dataset in bench.datasets] == ["magic"]
    assert list(bench.seeds) == [3, 4]
    assert list(bench.redo) == ["failed", "spoiled"]


def test_by_default_three_seeds_of_every_method_that_can_run():
    bench = _bench("images", _settings([]))
    assert {"edm", "dcgan", "vae"} <= {method.name for method in bench.methods}
    assert list(bench.seeds) == [0, 1, 2]
    assert list(bench.redo) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabels"], "did you mean 'tables'"),
        ([], "choose from 'tables', 'images', 'scale', 'report'"),
        (["tables", "seed=1"], "did you mean 'seeds'"),
        (["scale", "rows=3"], "scale: found 'rows=3'; it takes no settings"),
        (["tables", "only=tvea"], "only: found 'tvea'; did you mean 'tvae'"),
        (["tables", "data=fashion_mnist"], "data: found 'fashion_mnist'"),
        (["images", "redo=everything"], "redo: found 'everything'"),
    ],
)
def test_what_is_not_known_is_named_before_anything_is_trained(arguments, message):
    with pytest.raises(SynthgenError, match=message):
        main(arguments)
