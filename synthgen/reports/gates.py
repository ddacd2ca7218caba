"""Thresholds that synthetic data has to keep before it may pass on.

A file of them is YAML, by face and figure:

    fidelity:
      Detector AUC: {max: 0.75}
      Shape error at holdout size: {max: 0.05, beside: 0.02}
    utility:
      TSTR AUC: {min: 0.85, beside: 0.03}
    privacy:
      Copied rows: {beside: 0.01}

`max` and `min` bound the value. `beside` bounds how far it may lie on the worse side of its floor, or of its reference
where it has no floor; where a figure is best near a number, how much further from that number.
"""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from synthgen.errors import SynthgenError, nearest
from synthgen.reports.faces import FACES

__all__ = ["Measured", "failures", "loss", "read_gates"]

BOUNDS = ("max", "min", "beside")

Gates = dict[str, dict[str, dict[str, float]]]
"""Bounds by face and figure."""


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that comes twice, of which YAML's loader would keep the last and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                line = node.value[number][0].start_mark.line + 1
                raise yaml.YAMLError(f"{key!r} comes twice, the second time in line {line}")
        return super().construct_mapping(node, deep)


class Measured(Protocol):
    """What thresholds ask of a figure."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def face(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def better(self) -> str: ...  # noqa: D102
    @property
    def floor(self) -> float | None: ...  # noqa: D102
    @property
    def reference(self) -> float | None: ...  # noqa: D102


def read_gates(gates: Mapping[str, Any] | str | os.PathLike[str]) -> Gates:
    """Thresholds by face and figure, checked.

    Args:
        gates: The same as a mapping, or a YAML file.

    Raises:
        SynthgenError: No such file, no YAML, an unknown face or bound, or a bound that is no number.
    """
    where, content = "gates", gates
    if not isinstance(gates, Mapping):
        file = Path(gates)
        where = str(file)
        if not file.is_file():
            raise SynthgenError(f"{file}: no such file of gates")
        try:
            content = yaml.load(file.read_text(), _UniqueKeys)  # a safe loader
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SynthgenError(f"{file}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping) or not content:
        raise SynthgenError(f"{where}: found {type(content).__name__}, expected thresholds by face and figure")
    for face, figures in content.items():
        if face not in FACES:
            raise SynthgenError(f"{where}: unknown face {face!r}: {nearest(face, FACES, what='faces are')}")
        if not isinstance(figures, Mapping) or not figures:
            raise SynthgenError(f"{where}: {face}: found {figures!r}, expected bounds by figure, {{max: …}}")
        for name, bounds in figures.items():
            if not isinstance(bounds, Mapping) or not bounds:
                raise SynthgenError(f"{where}: {face}: {name}: found {bounds!r}, expected bounds such as {{max: 0.05}}")
            for bound, number in bounds.items():
                if bound not in BOUNDS:
                    raise SynthgenError(
                        f"{where}: {face}: {name}: unknown bound {bound!r}: {nearest(bound, BOUNDS, what='bounds are')}"
                    )
                if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
                    raise SynthgenError(f"{where}: {face}: {name}: {bound}: found {number!r}, expected a number")
    return {face: {str(name): dict(bounds) for name, bounds in one.items()} for face, one in content.items()}


def failures(gates: Gates, figures: Mapping[str, Measured]) -> list[str]:
    """The thresholds that are not kept, a sentence each. What was not measured, or is undefined, is not kept."""
    found = []
    for face, wanted in gates.items():
        for name, bounds in wanted.items():
            figure = figures.get(name)
            if figure is None:
                found.append(f"{face}: {name} was not measured: {nearest(name, figures, what='measured were')}")
            elif figure.face != face:
                found.append(f"{face}: {name} is a figure of {figure.face}")
            else:
                found += [f"{face}: {said}" for said in _broken(figure, bounds)]
    return found


def _broken(figure: Measured, bounds: Mapping[str, float]) -> list[str]:
    value, said = figure.value, []
    if math.isnan(value):
        return [f"{figure.name} is undefined"]
    if "max" in bounds and value > bounds["max"]:
        said.append(f"{figure.name} is {value:.4g}, over {bounds['max']:.4g}")
    if "min" in bounds and value < bounds["min"]:
        said.append(f"{figure.name} is {value:.4g}, under {bounds['min']:.4g}")
    if "beside" in bounds:
        other = figure.floor if figure.floor is not None else figure.reference
        if other is None:
            said.append(f"{figure.name} has no real figure to stand beside, in this report or in any")
        elif not (worse := loss(figure.better, value, other) - loss(figure.better, other, other)) <= bounds["beside"]:
            said.append(
                f"{figure.name} is {value:.4g} beside {other:.4g} of real data, worse by {worse:.4g}, over "
                f"{bounds['beside']:.4g}"
            )
    return said


def loss(better: str, value: float, real: float | None = None) -> float:
    """How far a value is from the best one, on a scale of the figure's own; lower is better.

    Args:
        better: Which way is better, as `Figure` says it.
        value: Of the figure.
        real: What real data reaches, for figures that are best near that; NaN comes back where it is not known.
    """
    if number := re.search(r"closer to (\d+(?:\.\d+)?)", better):
        return abs(value - float(number.group(1)))
    if better == "higher":
        return -value
    if better in ("lower", "no more than real"):
        return value
    return math.nan if real is None else abs(value - real)  # "closer to real", "as high as real", "as far as real"
