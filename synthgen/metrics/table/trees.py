"""The boosted trees that detect and predict: one setting for all figures."""

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["boosted_classifier", "boosted_regressor", "one_thread"]


def boosted_classifier(seed: int, classes: int = 2) -> HistGradientBoostingClassifier:
    """200 trees of depth 6, learning rate 0.1, no early stopping; each class has trees of its own when there are more
    than two. Past 5 classes there are 1,000 trees in all, but at least 20 for each class, at learning rate 0.2.
    """
    rounds = max(20, min(200, 1000 // classes))
    rate = 0.1 if rounds == 200 else 0.2
    return HistGradientBoostingClassifier(
        max_iter=rounds, max_depth=6, learning_rate=rate, early_stopping=False, random_state=seed
    )


def boosted_regressor(seed: int) -> HistGradientBoostingRegressor:
    """The same for numbers, by squared error."""
    return HistGradientBoostingRegressor(
        max_iter=200, max_depth=6, learning_rate=0.1, early_stopping=False, random_state=seed
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Fits trees on one core.

    Their threads meet at thousands of barriers and spin there. On two free cores a second thread saves a fifth of the
    time; where other processes kept them busy, two detectors took 350 seconds on two threads and 4 on one.
    """
    with threadpool_limits(1, user_api="openmp"):
        yield
