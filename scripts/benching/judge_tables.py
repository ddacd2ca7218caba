"""Every figure of a synthetic table, the same for all methods, by `synthgen.metrics` alone.

Two groups. "protocol" is what papers report: as many synthetic as training rows, against the training rows. "sized" has
as many synthetic rows as there are holdout rows: the group that has a floor, which is the same figure with holdout rows
in the place of synthetic ones.
"""

from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.benching.datasets import TableSet
from synthgen.data.tables.sources import read_parquet
from synthgen.layout import TableSchema
from synthgen.metrics.table.detection import c2st, detector_auc
from synthgen.metrics.table.efficacy import learning_efficacy
from synthgen.metrics.table.fidelity import shape_error, trend_error
from synthgen.metrics.table.manifold import alpha_precision_beta_recall, row_prdc
from synthgen.metrics.table.marginals import triple_marginals
from synthgen.metrics.table.privacy import closest_records, copied_rows
from synthgen.metrics.table.support import category_coverage, duplicate_rows, range_coverage, rare_categories
from synthgen.metrics.table.utility import downstream_score, utility

__all__ = ["VERSION", "figures", "floor", "made_of"]

VERSION = 1  # of what is measured; figures of another one are measured anew
SEED = 0  # of all subsamples and trees, whatever a trial's own seed

Figures = dict[str, dict[str, float]]


def figures(data: TableSet, synthetic: Path) -> Figures:
    """Both groups, of the rows in a Parquet file."""
    made = read_parquet(str(synthetic))
    few, unseen = _equal(made, data.holdout)
    protocol = {
        **_closeness(data.train, made, data.schema),
        **_use(made, data),
        **_privacy(data, made),
    }
    return {"protocol": protocol, "sized": _sized(data.train, unseen, few, data.schema)}


def floor(data: TableSet) -> Figures:
    """Both groups, of real data: what holdout rows reach, and where learning is asked for what training rows teach."""
    few, unseen = _equal(data.train, data.holdout)
    sized = _sized(data.train, unseen, unseen, data.schema)
    sized["detector AUC"] = detector_auc(unseen, few, data.schema, SEED)
    protocol = {**_use(data.train, data), "copied rows": copied_rows(data.train, data.holdout).value}
    return {"protocol": protocol, "sized": sized}


def made_of(data: TableSet) -> dict[str, str]:
    """Versions of what learns in the figures."""
    return {name: metadata.version(name) for name in ("scikit-learn", "xgboost")}


def _closeness(train: pd.DataFrame, made: pd.DataFrame, schema: TableSchema) -> dict[str, float]:
    """All rows, as the published figures have it."""
    near = alpha_precision_beta_recall(train, made, schema, rows=None, seed=SEED)
    return {
        "shape error": shape_error(train, made, schema),
        "trend error": trend_error(train, made, schema),
        "C2ST": c2st(train, made, schema, SEED, rows=len(train)).value,
        "alpha-precision": near.alpha_precision.value,
        "beta-recall": near.beta_recall.value,
    }


def _use(learned: pd.DataFrame, data: TableSet) -> dict[str, float]:
    """What these rows teach: the protocol's efficacy, and the score of the reports' trees."""
    published = learning_efficacy(learned, data.holdout, data.schema, data.target, SEED)
    reached = downstream_score(learned, data.holdout, data.schema, data.target, SEED)
    found = {f"MLE {published.name}": published.value, f"TSTR {reached.name}": reached.value}
    if data.schema[data.target].numerical:
        judged = utility(learned, data.holdout, learned, data.schema, data.target, seed=SEED, resamples=0)
        found["TSTR RMSE"] = judged["TSTR"].estimates["RMSE"].value
    return found


def _privacy(data: TableSet, made: pd.DataFrame) -> dict[str, float]:
    closest = closest_records(data.train, data.holdout, made, data.schema, seed=SEED)
    return {
        "closest-record share": closest.share.value,
        "closest-record p": closest.p_value,
        "copied rows": copied_rows(data.train, made).value,
    }


def _sized(train: pd.DataFrame, unseen: pd.DataFrame, few: pd.DataFrame, schema: TableSchema) -> dict[str, float]:
    """`few` rows against the training rows, and the detector against as many `unseen` ones."""
    near = alpha_precision_beta_recall(train, few, schema, seed=SEED)
    clouds = row_prdc(train, few, schema, seed=SEED)
    repeated = duplicate_rows(train, few, schema, seed=SEED)
    return {
        "shape error": shape_error(train, few, schema),
        "trend error": trend_error(train, few, schema),
        "three-way error": triple_marginals(train, few, schema, seed=SEED).error,
        "detector AUC": detector_auc(unseen, few, schema, SEED),
        "C2ST": c2st(train, few, schema, SEED).value,
        "alpha-precision": near.alpha_precision.value,
        "beta-recall": near.beta_recall.value,
        "precision": clouds.precision,
        "recall": clouds.recall,
        "density": clouds.density,
        "coverage": clouds.coverage,
        "rare-category error": rare_categories(train, few, schema).error,
        "category coverage": _mean(category_coverage(train, few, schema)),
        "range coverage": _mean(range_coverage(train, few, schema)),
        "duplicates": repeated.synthetic,
    }


def _equal(made: pd.DataFrame, holdout: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As many of each as the smaller has."""
    rows = min(len(made), len(holdout))
    first, second = (
        frame if len(frame) == rows else frame.sample(rows, random_state=SEED) for frame in (made, holdout)
    )
    return first, second


def _mean(shares: pd.Series) -> float:
    """NaN for a table without such columns."""
    return float(shares.mean()) if len(shares) else float(np.nan)
