"""Does synthetic data treat groups as the real data does?"""

import numpy as np
import pandas as pd

from synthgen.layout import TableSchema
from synthgen.metrics.table.columns import value_codes

__all__ = ["representation_gap"]


def representation_gap(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, column: str) -> float:
    """Largest difference of a group's share between real and synthetic rows.

    max over groups g of |P_real(g) − P_synthetic(g)|, in [0, 1], 0 is best. A missing value is a group. It says whether
    groups are as frequent as they were, not whether their rows are as good.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        schema: What the columns are.
        column: The sensitive column.

    Raises:
        SynthgenError: When it is not a column.
    """
    name = schema[column].name
    codes, _ = value_codes([real[name], synthetic[name]])
    groups = 1 + max(int(side.max()) for side in codes)
    shares = [np.bincount(side, minlength=groups) / len(side) for side in codes]
    return float(np.abs(shares[0] - shares[1]).max())
