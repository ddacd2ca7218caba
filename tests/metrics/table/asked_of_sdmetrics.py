"""What SDMetrics says of two tables; run by the interpreter of an environment that has it: it needs an older pandas.

`python asked_of_sdmetrics.py QUESTION REAL.parquet SYNTHETIC.parquet KINDS.json` prints the answer as JSON, where kinds
are "numerical" or "categorical" by the column's name.
"""

import json
import sys
import warnings
from itertools import combinations
from pathlib import Path

import pandas as pd
import xgboost
from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
from sdmetrics.reports.single_table import QualityReport
from sdmetrics.single_column import CategoryCoverage, KSComplement, RangeCoverage, TVComplement
from sdmetrics.single_table.detection.sklearn import ScikitLearnClassifierDetectionMetric


def shapes(real, synthetic, kinds):
    """Similarity of each column."""
    metrics = {"numerical": KSComplement, "categorical": TVComplement}
    return {name: metrics[kind].compute(real[name], synthetic[name]) for name, kind in kinds.items()}


def trends(real, synthetic, kinds):
    """Lists of two names and the similarity of the pair."""
    found = []
    for names in map(list, combinations(kinds, 2)):
        sides = real[names].copy(), synthetic[names].copy()
        binned = [name for name in names if kinds[name] == "numerical"]
        if len(binned) == 2:
            score = CorrelationSimilarity.compute(*sides, coefficient="Pearson")
        else:
            score = ContingencySimilarity.compute(*sides, continuous_column_names=binned or None, num_discrete_bins=10)
        found.append([*names, score])
    return found


def report(real, synthetic, kinds):
    """The trend of the only pair, by the quality report."""
    made = QualityReport()
    made.real_association_threshold = 0  # else it leaves out pairs whose real association is weak
    made.generate(real, synthetic, _metadata(kinds), verbose=False)
    return made.get_details("Column Pair Trends")["Score"].item()


def coverage(real, synthetic, kinds):
    """Of each column's categories or range."""
    metrics = {"numerical": RangeCoverage, "categorical": CategoryCoverage}
    return {name: metrics[kind].compute(real[name], synthetic[name]) for name, kind in kinds.items()}


class _Trees(ScikitLearnClassifierDetectionMetric):
    @staticmethod
    def _get_classifier():
        return xgboost.XGBClassifier(random_state=0, n_jobs=1)


def detection(real, synthetic, kinds):
    """The score of a classifier that tells the sides apart, of folds that it draws without a seed."""
    return _Trees.compute(real, synthetic, _metadata(kinds))


def _metadata(kinds):
    return {"columns": {name: {"sdtype": kind} for name, kind in kinds.items()}}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    question, *files, kinds = sys.argv[1:]
    answer = globals()[question](*map(pd.read_parquet, files), json.loads(Path(kinds).read_text()))
    print(json.dumps(answer, default=float))
