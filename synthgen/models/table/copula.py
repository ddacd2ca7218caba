"""A Gaussian copula over mixed columns: the statistical baseline, fitted in closed form."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.base import Model
from synthgen.models.stages import Batch, ClosedFormStage

__all__ = ["Copula"]

_HERMITE = 24  # terms of the expansion of a correlation between codes
_BISECTIONS = 40
_SWEEPS = 30  # of Gibbs sampling, where several codes are known
_AXIS_STEPS = 30
_CLIP = 8.0  # standard deviations, for places at 0 and 1
_MIN_EIGENVALUE = 1e-4


class Copula(Model):
    """Every variable is a monotone function of a normal one, and these are jointly normal (Joe, 2014, chapter 2).

    A continuous variable is its normal one. A code stands for an interval of its normal one as likely as the code is
    frequent. Codes that are numbers keep their order; others are ordered along the first axis of a correspondence
    analysis of all columns, so that codes that keep like company lie side by side. The correlation of two normal
    variables is the one under which their codes would correlate as they do in the data: exact for any number of codes
    (polychoric), where the correlation of the codes themselves would be too small. Of a continuous variable that is
    missing in some rows, or stands beside point masses, only the rows count in which it holds, as if the others lacked
    it at random.

    Conditions are approximate in what a Gaussian copula cannot say, and exact in what it can: known cells come back as
    they were asked for, others are drawn from the joint normal distribution given them, by Gibbs sampling where several
    codes are known.

    Args:
        layout: What a row is made of.
    """

    conditioning = "approximate"

    def __init__(self, layout: TableLayout) -> None:
        fitted = CopulaParameters(layout)
        super().__init__([ClosedFormStage(fitted, lambda module, data: cast(CopulaParameters, module).fit(data))])
        self.layout = layout

    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **_: Any) -> Batch:
        """Rows from the joint normal distribution; see `Model.sample_block`."""
        fitted = cast(CopulaParameters, self.stages[0].trained)
        device = generator.device
        variables = self.layout.numerical + self.layout.categorical
        # In float64 whatever the precision around: a triangular product in bf16 would be another distribution.
        with torch.autocast(device.type, enabled=False):
            noise = torch.randn(size, variables, generator=generator, device=device, dtype=torch.float64)
            factor, fault = torch.linalg.cholesky_ex(fitted.correlation)
            if fault or not factor.isfinite().all():
                raise SynthgenError("the copula's correlation is not positive definite: its weights are damaged")
            normal = noise @ factor.T
            if condition is not None:
                normal = _given(fitted, normal, condition, generator)
            codes = fitted.to_codes(normal[:, self.layout.numerical :])
        numerical = normal[:, : self.layout.numerical].float()
        if condition is not None:
            numerical = torch.where(condition["numerical_known"], condition["numerical"], numerical)
            codes = torch.where(condition["categorical_known"], condition["categorical"].long(), codes)
        return {"numerical": numerical, "categorical": codes}


class CopulaParameters(nn.Module):
    """Order and share of the codes of every discrete variable, and the correlation of all variables' normal ones.

    Args:
        layout: What a row is made of. Variables are its continuous ones, then its discrete ones.

    Attributes:
        correlation: (variables, variables), float64.
        edges: (discrete variables, largest cardinality + 1) where the codes' intervals begin and end, from 0 to 1.
        place: (discrete variables, largest cardinality) place of each code in its variable's order.
        code: The inverse: the code at each place.
    """

    correlation: Tensor
    edges: Tensor
    place: Tensor
    code: Tensor

    def __init__(self, layout: TableLayout) -> None:
        super().__init__()
        self.layout = layout
        discrete, largest = layout.categorical, max(layout.cardinalities, default=0)
        variables = layout.numerical + discrete
        self.register_buffer("correlation", torch.eye(variables, dtype=torch.float64))
        self.register_buffer("edges", torch.ones(discrete, largest + 1, dtype=torch.float64))
        self.register_buffer("place", torch.arange(largest).repeat(discrete, 1))
        self.register_buffer("code", torch.arange(largest).repeat(discrete, 1))

    def fit(self, data: Batch) -> None:
        """Learns from all training rows, encoded."""
        codes, numbers = data["categorical"].long(), data["numerical"].double()
        holds = _holds(codes, self.layout)
        numbers = numbers / _spread(numbers, holds)
        scores = _axis(numbers, codes, holds, self.layout)
        ordered = self.layout.ordered or (0,) * self.layout.categorical
        for j, (cardinality, length) in enumerate(zip(self.layout.cardinalities, ordered, strict=True)):
            counts = torch.bincount(codes[:, j], minlength=cardinality).double()
            if not length:
                order = scores[j, :cardinality].argsort(stable=True)
                self.code[j, :cardinality] = order
                self.place[j, order] = torch.arange(cardinality, device=codes.device)
                counts = counts[order]
            self.edges[j, 0], self.edges[j, 1 : cardinality + 1] = 0.0, counts.cumsum(0) / counts.sum().clamp(min=1)
            self.edges[j, cardinality] = 1.0
        self.correlation.copy_(self._correlation(numbers, codes, holds))

    def intervals(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, discrete) codes to the ends of their intervals on the scale of normal variables."""
        row = torch.arange(codes.shape[1], device=codes.device)
        place = self.place[row, codes]
        return _normal(self.edges[row, place]), _normal(self.edges[row, place + 1])

    def to_codes(self, normal: Tensor) -> Tensor:
        """(batch, discrete) normal variables to codes."""
        if not self.layout.categorical:
            return torch.zeros(normal.shape, dtype=torch.long, device=normal.device)
        below = torch.special.ndtr(normal).T.contiguous()
        place = torch.searchsorted(self.edges[:, 1:].contiguous(), below, right=True)
        cardinalities = torch.tensor(self.layout.cardinalities, device=normal.device)
        return self.code.gather(1, torch.minimum(place, cardinalities[:, None] - 1)).T.contiguous()

    def _correlation(self, numbers: Tensor, codes: Tensor, holds: Tensor) -> Tensor:
        """Correlation of the normal variables from the covariance of what is seen of them.

        Of a code one sees the mean of its interval. A function f of one of two normal variables with correlation rho
        and a function g of the other have the covariance sum over k of f_k g_k rho^k, f_k and g_k being their
        coefficients in normalised Hermite polynomials (Mehler). It grows with rho, which bisection finds.
        """
        variables = numbers.shape[1] + codes.shape[1]
        coefficients = numbers.new_zeros(_HERMITE, variables)
        coefficients[0, : numbers.shape[1]] = 1.0  # a normal variable is the first polynomial itself
        means = self._interval_means()
        coefficients[:, numbers.shape[1] :] = self._hermite(means)
        row = torch.arange(codes.shape[1], device=codes.device)
        seen = torch.cat([numbers, means[row, self.place[row, codes]]], dim=1)
        covariance = _pairwise_covariance(seen, torch.cat([holds, torch.ones_like(codes, dtype=torch.bool)], dim=1))
        low, high = torch.full_like(covariance, -0.9999), torch.full_like(covariance, 0.9999)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            total = torch.zeros_like(covariance)
            for row_k in coefficients.flip(0):  # Horner's rule
                total = middle * (total + row_k[:, None] * row_k[None, :])
            low, high = torch.where(total < covariance, middle, low), torch.where(total < covariance, high, middle)
        correlation = (low + high) / 2
        # A variable that does not vary goes with nothing.
        constant = coefficients.abs().sum(0) < 1e-9
        correlation = correlation.masked_fill(constant[:, None] | constant[None, :], 0.0).fill_diagonal_(1.0)
        values, vectors = torch.linalg.eigh(correlation)
        nearest = (vectors * values.clamp(min=_MIN_EIGENVALUE)) @ vectors.T
        scale = nearest.diagonal().rsqrt()
        return nearest * scale[:, None] * scale[None, :]

    def _interval_means(self) -> Tensor:
        """(discrete, largest cardinality) mean of the normal variable within each place's interval."""
        share = (self.edges[:, 1:] - self.edges[:, :-1]).clamp(min=0)
        density = _density(_normal(self.edges))
        middle = _normal((self.edges[:, 1:] + self.edges[:, :-1]) / 2)
        return torch.where(share > 1e-12, (density[:, :-1] - density[:, 1:]) / share.clamp(min=1e-12), middle)

    def _hermite(self, means: Tensor) -> Tensor:
        """(terms, discrete) coefficients, from the first on, of the function that gives each place's mean.

        The integral of He_k times the density over an interval is the density times He_(k−1) at its beginning, less the
        same at its end.
        """
        edges = _normal(self.edges)
        density = _density(edges)
        # Normalised polynomials h_k = He_k / sqrt(k!): h_(k+1) = (x h_k − sqrt(k) h_(k−1)) / sqrt(k + 1).
        before, now, rows = torch.zeros_like(edges), torch.ones_like(edges), []
        for k in range(1, _HERMITE + 1):
            at_edges = density * now / math.sqrt(k)
            rows.append((means * (at_edges[:, :-1] - at_edges[:, 1:])).sum(1))
            before, now = now, (edges * now - math.sqrt(k - 1) * before) / math.sqrt(k)
        return torch.stack(rows)


def _holds(codes: Tensor, layout: TableLayout) -> Tensor:
    """(rows, continuous) whether a continuous variable holds, and is not the noise beside a mass or a missing cell."""
    gates = torch.tensor(layout.gates or (-1,) * layout.numerical, dtype=torch.long, device=codes.device)
    if not layout.categorical:
        return torch.ones(len(codes), layout.numerical, dtype=torch.bool, device=codes.device)
    return (codes[:, gates.clamp(min=0)] == 0) | (gates < 0)


def _spread(numbers: Tensor, holds: Tensor) -> Tensor:
    """(continuous,) standard deviation over the rows that hold; 1 where that is 0."""
    count = holds.sum(dim=0).clamp(min=1)
    mean = (numbers * holds).sum(dim=0) / count
    spread = (((numbers - mean) * holds).square().sum(dim=0) / count).sqrt()
    return torch.where(spread > 0, spread, 1.0)


def _pairwise_covariance(values: Tensor, holds: Tensor) -> Tensor:
    """(variables, variables), each pair's over the rows in which both hold; 0 where there is none."""
    mask = holds.to(values.dtype)
    masked = values * mask
    count = (mask.T @ mask).clamp(min=1)
    means = masked.T @ mask / count  # of variable i, where variable j holds too
    return masked.T @ masked / count - means * means.T


def _axis(numbers: Tensor, codes: Tensor, holds: Tensor, layout: TableLayout) -> Tensor:
    """(discrete, largest cardinality) score of every code on the first axis that columns share.

    Reciprocal averaging (Hill, 1973): a row's score is the sum of its codes' and numbers' scores, a code's the mean of
    its rows'. Without a loop over rows or values, and without a matrix of one-hot codes.
    """
    rows, largest = len(codes), max(layout.cardinalities, default=0)
    flat = codes + largest * torch.arange(codes.shape[1], device=codes.device)
    count = torch.bincount(flat.flatten(), minlength=codes.shape[1] * largest).clamp(min=1).double()
    centred = (numbers - (numbers * holds).sum(dim=0) / holds.sum(dim=0).clamp(min=1)) * holds
    standard = centred / centred.square().mean(dim=0).sqrt().clamp(min=1e-12)
    # A start that is always the same, and that no symmetry of the data leaves without a direction.
    start = torch.rand(len(count), generator=torch.Generator().manual_seed(0), dtype=torch.double).to(codes.device)
    score = (count.log() + start)[flat].sum(dim=1) + standard.sum(dim=1)
    category = torch.zeros_like(count)
    for _ in range(_AXIS_STEPS):
        score = score - score.mean()
        score = score / score.norm().clamp(min=1e-12) * rows**0.5
        category = torch.zeros_like(count).index_add_(0, flat.flatten(), score.repeat_interleave(codes.shape[1]))
        category = category / count
        score = category[flat].sum(dim=1) + standard @ (standard.T @ score / rows)
    return category.view(codes.shape[1], largest)


def _given(fitted: CopulaParameters, normal: Tensor, condition: Batch, generator: torch.Generator) -> Tensor:
    """Draws of the joint normal distribution moved to meet a condition: those given it (Matheron's rule).

    Args:
        fitted: Correlation and intervals.
        normal: (batch, variables) unconditional draws.
        condition: Encoded cells that are known.
        generator: Source of the draws.
    """
    continuous = condition["numerical"].shape[1]
    known = torch.cat([condition["numerical_known"], condition["categorical_known"]], dim=1)
    low, high = fitted.intervals(condition["categorical"].long())
    result = normal.clone()
    for pattern in known.unique(dim=0):
        rows = (known == pattern).all(dim=1).nonzero()[:, 0]
        cells = pattern.nonzero()[:, 0]
        if not len(cells):
            continue
        numbers, codes = cells[cells < continuous], cells[cells >= continuous] - continuous
        values = condition["numerical"][rows][:, numbers].double()
        if len(codes):
            covariance = fitted.correlation[cells][:, cells]
            box = (low[rows][:, codes], high[rows][:, codes])
            values = torch.cat([values, _truncated(covariance, values, *box, generator)], dim=1)
        gain = torch.linalg.solve(fitted.correlation[cells][:, cells], fitted.correlation[cells])
        result[rows] = normal[rows] + (values - normal[rows][:, cells]) @ gain
    return result


def _truncated(covariance: Tensor, fixed: Tensor, low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
    """Draws of a joint normal distribution whose first variables are fixed and whose others lie in intervals.

    Gibbs sampling; with a single interval it is exact at once.

    Args:
        covariance: (fixed + intervals, fixed + intervals).
        fixed: (batch, fixed).
        low: (batch, intervals) where they begin.
        high: Where they end.
        generator: Source of the draws.

    Returns:
        (batch, intervals).
    """
    precision = torch.linalg.inv(covariance)
    first, count = fixed.shape[1], low.shape[1]
    values = torch.cat([fixed, _normal((torch.special.ndtr(low) + torch.special.ndtr(high)) / 2)], dim=1)
    for _ in range(_SWEEPS if count > 1 else 1):
        for j in range(first, first + count):
            weight = precision[j] / precision[j, j]
            mean = weight[j] * values[:, j] - values @ weight
            spread = precision[j, j].rsqrt()
            ends = [torch.special.ndtr((end[:, j - first] - mean) / spread) for end in (low, high)]
            uniform = torch.rand(len(values), generator=generator, device=values.device, dtype=values.dtype)
            drawn = mean + spread * _normal(ends[0] + uniform * (ends[1] - ends[0]))
            values[:, j] = drawn.clamp(low[:, j - first], high[:, j - first])
    return values[:, first:]


def _normal(probability: Tensor) -> Tensor:
    return torch.special.ndtri(probability).clamp(-_CLIP, _CLIP)


def _density(x: Tensor) -> Tensor:
    return (-x.square() / 2).exp() / math.sqrt(2 * math.pi)
