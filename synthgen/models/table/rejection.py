"""Conditions by rejection: rows are drawn until each is as wanted."""

from collections.abc import Callable

import torch
from torch import Tensor

from synthgen.models.keeping import Acceptance, Unmet
from synthgen.models.stages import Batch

__all__ = ["by_rejection"]

# A continuous cell is as wanted within this distance, in standard deviations; it then is set to the wanted value.
_TOLERANCE = 0.1
_MAX_DRAWS = 200


def by_rejection(draw: Callable[[Batch], Batch], condition: Batch, count: Acceptance) -> Batch:
    """Rows that have the wanted cells, from a model that cannot be told all of them.

    A whole block is drawn again and again, each place of it for a row that still waits.

    Args:
        draw: Takes a condition and returns as many rows as that has; the condition is a hint, which it may ignore.
        condition: `numerical`, `categorical`, `numerical_known` and `categorical_known` of all rows, `wanted`, which of
            them must be met, where others may be, or not, and `row`, for which row of all that are asked for.
        count: Counts what was drawn and accepted.

    Raises:
        Unmet: Some wanted rows were not met in 200 draws of a whole block; the message gives the rate.
    """
    size, wanted = len(condition["categorical"]), condition["wanted"]
    place = torch.arange(size, device=condition["categorical"].device)
    waiting = place
    result: Batch = {}
    for _ in range(_MAX_DRAWS):
        wanted_by = waiting[place % len(waiting)]
        wishes = {name: value[wanted_by] for name, value in condition.items()}
        drawn = draw(wishes)
        fits = _fits(drawn, wishes)
        count.drawn += size
        count.accepted += int(fits.sum())
        # The first place, if any, that holds what a row waits for.
        found = torch.full_like(place, size).scatter_reduce(0, wanted_by[fits], place[fits], "amin")
        met = found < size
        for name, value in drawn.items():
            result[name] = torch.where(met[:, None], value[found.clamp(max=size - 1)], result.get(name, value))
        waiting = waiting[~met[waiting]]
        if not wanted[waiting].any():
            known = condition["numerical_known"]
            result["numerical"] = torch.where(known, condition["numerical"], result["numerical"])
            return result
    raise Unmet(
        condition["row"][waiting[wanted[waiting]]].unique().cpu().numpy(),
        f"condition: {int(wanted[waiting].sum())} of {int(wanted.sum())} rows were not met in {count.drawn:,} rows "
        f"drawn (acceptance rate {count.rate:.2g}); ask for fewer columns or more frequent values, or use "
        "model=table/argn",
    )


def _fits(drawn: Batch, condition: Batch) -> Tensor:
    """(rows,) whether a row has every cell that is wanted of it."""
    codes = (drawn["categorical"] == condition["categorical"]) | ~condition["categorical_known"]
    near = (drawn["numerical"] - condition["numerical"]).abs() <= _TOLERANCE
    return codes.all(dim=1) & (near | ~condition["numerical_known"]).all(dim=1)
