"""Does a synthetic table give away training records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from synthgen.errors import SynthgenError, nearest
from synthgen.layout import TableSchema
from synthgen.metrics.intervals import LEVEL, Estimate, clustered_proportion, proportion
from synthgen.metrics.neighbours import nearest_neighbours
from synthgen.metrics.table.columns import as_written, checked, value_codes
from synthgen.metrics.table.distances import RowEmbedding
from synthgen.metrics.table.scores import with_spread

__all__ = ["ClosestRecords", "closest_records", "copied_rows", "not_held_out"]

RESAMPLES = 100
OVERLAP = 0.1  # share of holdout rows beyond chance from which they are said to be training rows
FEWEST = 8  # real rows that the first of the nested tests looks at


@dataclass(frozen=True)
class ClosestRecords:
    """What `closest_records` finds.

    Attributes:
        near_copies: Share of synthetic rows as near to a training row as few holdout rows are, in [0, 1].
        near_holdout: Share of synthetic rows as near to a holdout row, which nobody can have copied, in [0, 1].
        near_real: The first share of the holdout rows; about the chosen `near`, and more where distances repeat.
        threshold: Distance that counts as near.
        share: Share of synthetic rows that lie nearer to a training row than to any holdout row, where a tie counts
            half, in [0, 1]; 0.5 is no copying.
        ratio: Median distance to the nearest training row, over that to the nearest holdout row, at least 0; 1 is no
            copying, below 1 is nearer to training.
        p_value: How often chance alone would put training rows so far ahead; small is a sign of copying.
        nearest: Of so many real rows, the nearest ones to synthetic rows, the test is most significant.
        nearest_in_training: So many of these are training rows; chance makes it half.
    """

    near_copies: Estimate
    near_holdout: Estimate
    near_real: Estimate
    threshold: float
    share: Estimate
    ratio: Estimate
    p_value: float
    nearest: int
    nearest_in_training: int


def closest_records(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    *,
    near: float = 0.01,
    queries: int = 10_000,
    references: int = 25_000,
    seed: int = 0,
) -> ClosestRecords:
    """Whether synthetic rows lie closer to training rows than to rows that the generator has not seen.

    The distance to the closest record (DCR; Zhao et al., 2021), by `RowEmbedding`, always against equally many training
    and holdout rows, since more rows lie closer. "Near" is a distance that the share `near` of holdout rows keep to
    their closest training row. The share of synthetic rows that are closer to training than to holdout rows is hardly
    moved by a few copies, so the test looks at the closest ones.

    The test: every synthetic row has one nearest real row, be it from training or holdout. Real rows that are the same
    count as one, and those that occur on both sides are left out. The remaining ones are put in order by how close
    their synthetic row comes in relation to its second nearest real row; of those that are hit exactly, the ones whose
    values are least likely to meet by chance, by their columns' shares, come first. Of the first 8, 16, 32, ... and of
    all of them, the number of training rows is held against Binomial(·, ½), one-sided, and the smallest p-value is
    multiplied by the number of tests (Bonferroni).

    Why chance is flagged no more often than it says: when synthetic rows are independent of which real rows were put
    into training and which into the holdout, labels are exchangeable given all points. Embedding, neighbours, ties and
    order are found without looking at labels, so that each distinct real row is a training row with probability ½,
    whatever the others are, and equal rows, that share a fate or do not, are one coin each. (As the two sides are of
    equal size, labels are slightly negatively dependent, which makes counts less extreme than the binomial's.) Many
    synthetic rows near one real row are one coin too. This needs rows that fall on either side at random: rows of one
    person that differ, and were split by person, are not exchangeable one by one.

    What it can't tell: no figure here proves privacy; tables that pass such tests have fallen to membership inference
    (arXiv 2505.01524). A record that is copied many times is one real row to the test. A generator that leans on its
    training rows without copying any may be flagged, rightly. Where rows are subsampled, copies of the training rows
    that are not drawn are not seen.

    Args:
        train: Real rows that the generator learned from.
        holdout: Real rows that it has not seen, drawn as the training rows were.
        synthetic: Its rows.
        schema: What the columns are.
        near: Share of holdout rows that count as near to training, over 0 and at most 1.
        queries: Synthetic rows, and holdout rows for the threshold, at most; more are subsampled.
        references: Training rows and holdout rows that are searched, each, at most. The cost grows with
            `queries` times `references`.
        seed: Of the subsamples and resamples.

    Raises:
        SynthgenError: When a table lacks one of the schema's columns, or has no rows, or `near` is out of its range.
    """
    if not 0 < near <= 1:
        raise SynthgenError(f"near={near} is out of range: expected a share of holdout rows over 0 and at most 1")
    sides = {"training": train, "holdout": holdout, "synthetic": synthetic}
    frames = [checked(frame, schema, side) for side, frame in sides.items()]
    equal = min(len(frames[0]), len(frames[1]), references)
    random = np.random.default_rng(seed)
    real = [_sample(frame, equal, random) for frame in frames[:2]]
    embedding = RowEmbedding(real, schema)
    points = np.concatenate([embedding.transform(frame) for frame in real])
    asked = embedding.transform(_sample(frames[2], queries, random))

    rows, unit = _distinct(points)
    sides_of = np.stack([np.bincount(part, minlength=len(rows)) > 0 for part in np.split(unit, 2)])  # (2, distinct)
    pool = points[rows]
    distances, found = nearest_neighbours(asked, pool, min(2, len(pool)))
    to_train, to_holdout = (_distance_to(asked, pool, side, distances[:, 0], found[:, 0]) for side in sides_of)

    held = points[equal:][:queries]  # in random order already
    real_distances = nearest_neighbours(held, pool[sides_of[0]])[0][:, 0]
    threshold = float(np.quantile(real_distances, near, method="inverted_cdf"))
    p_value, count, hits = _test(distances, found[:, 0], sides_of, _rarity(real, schema)[rows])
    return ClosestRecords(
        near_copies=clustered_proportion(to_train <= threshold, found[:, 0]),
        near_holdout=clustered_proportion(to_holdout <= threshold, found[:, 0]),
        near_real=proportion(int((real_distances <= threshold).sum()), len(held)),
        threshold=threshold,
        share=_share(to_train, to_holdout, found[:, 0]),
        ratio=_ratio(to_train, to_holdout, found[:, 0], random),
        p_value=p_value,
        nearest=count,
        nearest_in_training=hits,
    )


def copied_rows(train: pd.DataFrame, other: pd.DataFrame) -> Estimate:
    """Share of `other`'s rows that occur exactly in `train`, in [0, 1], with an interval.

    Rows of `other` that are equal meet the same training row or none, and are one witness to the interval.

    Rows are equal when every cell is: 1 equals 1.0, missing equals missing, categories count by value, and the order of
    columns does not matter. Set beside the same share for held-out real rows: data with few columns repeats itself
    without anybody copying. A share of 0 proves no privacy: a row that differs in one digit is not counted.

    Raises:
        SynthgenError: When `other` lacks a column of `train`, or has no rows.
    """
    for name in train.columns:
        if name not in other.columns:
            raise SynthgenError(
                f"the compared table has no column {name!r}: {nearest(name, other.columns, what='its columns are')}"
            )
    if not len(other):
        raise SynthgenError("the compared table has no rows")
    known, asked = _hashes(train, other)
    _, equal = np.unique(asked, return_inverse=True)
    return clustered_proportion(np.isin(asked, known), equal)


def not_held_out(train: pd.DataFrame, holdout: pd.DataFrame) -> float:
    """Share of holdout rows that are training rows, in [0, 1], if that is more than an honest split gives; else 0.

    Where rows were put into training and into the holdout independently of what they are, a holdout row is equal to
    some training row as often as a training row is equal to another one. More is by far too much where the intervals of
    these two shares lie `OVERLAP` apart, or both tables are the same rows. Equality is that of `copied_rows`.
    """
    known, asked = _hashes(train, holdout)
    names, equal, counts = np.unique(known, return_inverse=True, return_counts=True)
    again = clustered_proportion(counts[equal] > 1, equal)
    _, alike = np.unique(asked, return_inverse=True)
    found = clustered_proportion(np.isin(asked, names), alike)
    same = len(known) == len(asked) and np.array_equal(np.sort(known), np.sort(asked))
    return found.value if same or found.low > again.high + OVERLAP else 0.0


def _hashes(train: pd.DataFrame, other: pd.DataFrame) -> list[NDArray[Any]]:
    """For each table (rows,) a 64-bit hash that stands for the row: codes mean the same on both sides."""
    aligned = [_aligned(train[name], other[name]) for name in train.columns]
    return [
        pd.util.hash_pandas_object(pd.DataFrame(dict(enumerate(side))), index=False).to_numpy()
        for side in zip(*aligned)
    ]


def _sample(frame: pd.DataFrame, rows: int, random: np.random.Generator) -> pd.DataFrame:
    """At most so many rows, in random order."""
    return frame.iloc[random.permutation(len(frame))[:rows]]


def _distinct(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row number a distinct point, and each row's index into these; a 64-bit hash stands for the point.

    The order is that of the hashes, which knows nothing of where a point came from.
    """
    hashes = pd.util.hash_pandas_object(pd.DataFrame(points + 0.0), index=False).to_numpy()  # + 0 turns −0.0 into 0.0
    _, rows, unit = np.unique(hashes, return_index=True, return_inverse=True)
    return rows, unit


def _rarity(real: Sequence[pd.DataFrame], schema: TableSchema) -> NDArray[np.float64]:
    """−Σ log of the share of rows that have a row's value, over columns; shape (rows of all tables,)."""
    total = np.zeros(sum(map(len, real)))
    for name in schema.names:
        codes = np.concatenate(value_codes([frame[name] for frame in real])[0])
        total -= np.log(np.bincount(codes)[codes] / len(codes))
    return total


def _distance_to(
    asked: NDArray[np.float64],
    pool: NDArray[np.float64],
    side: NDArray[np.bool_],
    closest: NDArray[np.float64],
    found: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Distance to the nearest point of one side of the pool: searched for only where the nearest of all is not one."""
    distances = closest.copy()
    elsewhere = ~side[found]
    if elsewhere.any():
        distances[elsewhere] = nearest_neighbours(asked[elsewhere], pool[side])[0][:, 0]
    return distances


def _test(
    distances: NDArray[np.float64], found: NDArray[np.int64], sides: NDArray[np.bool_], rarity: NDArray[np.float64]
) -> tuple[float, int, int]:
    """The smallest p-value, corrected, the number of real rows that gave it, and how many of these are for training."""
    first, second = distances[:, 0], distances[:, -1]
    relative = np.divide(first, second, out=np.zeros(len(first)), where=second > 0)
    order = np.lexsort((-rarity[found], relative))
    _, earliest = np.unique(found[order], return_index=True)
    nearest_first = found[order][np.sort(earliest)]
    trained, held = sides[:, nearest_first]
    trained = trained[trained != held]
    if not len(trained):
        return 1.0, 0, 0
    counts = np.append(FEWEST * 2 ** np.arange(32), len(trained))
    counts = np.unique(counts[counts <= len(trained)])
    hits = np.cumsum(trained)[counts - 1]
    p_values = stats.binom.sf(hits - 1, counts, 0.5)
    best = int(np.argmin(p_values))
    return float(min(1.0, p_values[best] * len(counts))), int(counts[best]), int(hits[best])


def _share(to_train: NDArray[np.float64], to_holdout: NDArray[np.float64], found: NDArray[np.int64]) -> Estimate:
    """P(nearer to training) with the interval of a mean over clusters: rows that share their nearest real row."""
    tied = np.isclose(to_train, to_holdout, rtol=1e-9, atol=0)
    nearer = np.where(tied, 0.5, to_train < to_holdout)
    value = float(nearer.mean())
    spread = float(np.sqrt((np.bincount(found, nearer - value) ** 2).sum())) / len(nearer)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * spread
    return Estimate(value, float(max(value - reach, 0)), float(min(value + reach, 1)))


def _ratio(
    to_train: NDArray[np.float64],
    to_holdout: NDArray[np.float64],
    found: NDArray[np.int64],
    random: np.random.Generator,
) -> Estimate:
    """Of medians; 1 where both are 0. The interval is that of resampled clusters: rows of one nearest real row."""
    _, cluster = np.unique(found, return_inverse=True)
    count = int(cluster.max()) + 1
    times = [np.bincount(random.integers(count, size=count), minlength=count)[cluster] for _ in range(RESAMPLES)]
    picked = [np.arange(len(found)), *(np.repeat(np.arange(len(found)), one) for one in times)]
    near, far = (np.array([np.median(side[rows]) for rows in picked]) for side in (to_train, to_holdout))
    ratio = np.full(len(picked), np.inf)
    np.divide(near, far, out=ratio, where=far > 0)
    ratio[near == far] = 1
    return with_spread(ratio, (0.0, np.inf))


def _aligned(a: pd.Series, b: pd.Series) -> list[NDArray[Any]]:
    """Two columns in one dtype, equal where their values are."""
    a, b = as_written(a), as_written(b)
    kinds = {series.dtype.kind for series in (a, b) if isinstance(series.dtype, np.dtype)}
    if all(isinstance(series.dtype, np.dtype) for series in (a, b)) and kinds <= set("ifb"):
        if kinds <= set("ib"):  # a float cannot tell large identifiers apart
            return [series.to_numpy(np.int64) for series in (a, b)]
        values = [series.to_numpy(np.float64) + 0.0 for series in (a, b)]  # + 0 turns −0.0 into 0.0
        return [np.where(np.isnan(side), np.nan, side) for side in values]  # older pandas hash bits, and NaN has many
    codes, _ = value_codes([a, b])
    return list(codes)
