"""Pages of the docs, made from the rows: tables in Markdown, and plots of quality against the seconds of fitting."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benching.compare import no_worse
from scripts.benching.distance import distance
from scripts.benching.figures import figure
from scripts.benching.methods import METHODS, Method
from scripts.benching.record import Record
from scripts.benching.scale import RESULTS, scale_page
from synthgen.files import replacing

__all__ = ["write_pages"]

Row = Mapping[str, Any]
DASH = "—"
HERE = Path(__file__).parent

# Of each page: which figure its plot has upright, and what stands across: images are trained for one time.
PLOTTED = {"tables": ("sized", "detector AUC", "seconds of fitting"), "images": ("n=1000", "FD", "images a second")}


def write_pages(records: Mapping[str, Record], docs: Path) -> None:
    """Writes `benchmarks/KIND.md` and `images/bench-KIND-DATA.png` of each kind that has rows."""
    if RESULTS.is_file():
        with replacing(docs / "benchmarks/scale.md") as partial:
            partial.write_text("\n".join(scale_page()))
    for kind, record in records.items():
        rows = record.rows
        if not rows:
            continue
        names = sorted({row["data"] for row in rows})
        parts = [
            (HERE / f"about_{kind}.md").read_text(),
            _remarks(kind, rows),
            *_distances(names, record),
            *_ratios(names, record),
            *(_of_data(kind, name, record) for name in names),
        ]
        for name in names:
            _plot(kind, name, rows, record.floors.get(name, {}), docs / f"images/bench-{kind}-{name}.png")
        with replacing(docs / f"benchmarks/{kind}.md") as partial:
            partial.write_text("\n".join(parts))


def _distances(names: Sequence[str], record: Record) -> list[str]:
    """How far methods are from real data, in one number a data set; nothing where no method has all five figures."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in record.rows:
        value = distance(row.get("figures", {}), record.floors.get(row["data"], {}))
        if value is not None:
            found[row["method"], row["data"]].append(value)
    methods = [method for method in METHODS if any((method.name, name) in found for name in names)]
    cells = [
        [method.title, *(_spread(found[method.name, name], 4) if found[method.name, name] else DASH for name in names)]
        for method in methods
    ]
    if not cells:
        return []
    intro = (
        "Geometric mean of five distances from real data, lower is better: of shape error, trend error, detector AUC "
        "and C2ST at holdout size from those of holdout rows, and of MLE from that of training rows. What is better "
        "than real data counts as 0.02 times the difference that would matter."
    )
    return ["## Distance from real data", "", intro, "", *_markdown(["", *names], cells), ""]


def _ratios(names: Sequence[str], record: Record) -> list[str]:
    """What methods take and make beside their rivals; nothing where no method has one with rows of the same data."""
    cells = []
    for method, name in ((method, name) for method in METHODS for name in names if method.rival):
        own, other = (
            [row for row in record.rows if (row["method"], row["data"], row["status"]) == (each, name, "done")]
            for each in (method.name, method.rival)
        )
        if not own or not other:
            continue
        measured = []
        for rows in (own, other):
            calm = [row for row in rows if not row["spoiled"]] or rows
            far = [distance(row["figures"], record.floors.get(name, {})) for row in rows]
            known = [np.log(one) for one in far if one is not None]
            measured.append(
                (
                    float(np.median([row["fit_seconds"] for row in calm])),
                    float(np.median([_rate(row) for row in calm])),
                    float(np.exp(np.mean(known))) if known else np.nan,
                )
            )
        ratios = [f"{ours / theirs:.2f}" for ours, theirs in zip(*measured, strict=True)]
        cells.append([method.title, _title(str(method.rival)), name, *(DASH if r == "nan" else r for r in ratios)])
    if not cells:
        return []
    intro = (
        "What a method takes and makes, divided by what its rival does: medians over seeds of the seconds of fitting "
        "(lower is better) and of samples a second (higher), of rows that nothing disturbed where there are any, and "
        "geometric means over seeds of the distance above (lower)."
    )
    headings = ["", "beside", "data", "fit, s", "samples a second", "distance"]
    return ["## Beside rivals", "", intro, "", *_markdown(headings, cells), ""]


def _of_data(kind: str, name: str, record: Record) -> str:
    """The section of a data set."""
    rows = [row for row in record.rows if row["data"] == name and row["status"] == "done"]
    floor = record.floors.get(name, {})
    methods = [method for method in METHODS if any(row["method"] == method.name for row in rows)]
    lines = [f"## {name}", ""]
    if failed := [row for row in record.rows if row["data"] == name and row["status"] == "failed"]:
        lines += [*(f"- {_title(row['method'])}, seed {row['seed']}: {row['error']}" for row in failed), ""]
    if not rows:
        return "\n".join(lines)
    lines += [
        f"![{PLOTTED[kind][1]} against {PLOTTED[kind][2]}](../images/bench-{kind}-{name}.png)",
        "",
        *_times(methods, rows),
    ]
    groups = list(dict.fromkeys(group for row in rows for group in row["figures"]))
    for group in groups:
        lines += ["", f"### {name}: {GROUPS.get(group, group)}", "", *_figures(group, methods, rows, floor)]
    lines += _comparisons(name, methods, rows)
    return "\n".join([*lines, ""])


GROUPS = {"protocol": "protocol figures", "sized": "at holdout size", "all": "of all images made"}


def _times(methods: Sequence[Method], rows: Sequence[Row]) -> list[str]:
    headings = ["", "seeds", "fit, s", "trained on", "samples a second", "peak memory, MiB"]
    cells = []
    for method in methods:
        own = [row for row in rows if row["method"] == method.name]
        spoiled = "!" if any(row["spoiled"] for row in own) else ""
        rates = [_rate(row) for row in own]
        cells.append(
            [
                method.title,
                ", ".join(str(row["seed"]) for row in own),
                _spread([row["fit_seconds"] for row in own], 1) + spoiled,
                _trained(own),
                _spread(rates, 0) + spoiled,
                _spread([row["memory_mib"]["sample"] for row in own], 0),
            ]
        )
    return _markdown(headings, cells)


def _rate(row: Row) -> float:
    """Samples a second."""
    return row["samples"] / max(row["sample_seconds"], 1e-3)


def _trained(rows: Sequence[Row]) -> str:
    """How much a method has seen, in its own unit."""
    facts = [row["facts"] for row in rows]
    if all("samples_seen" in one for one in facts):
        return f"{_spread([one['samples_seen'] for one in facts], 0)} examples"
    if all("epochs" in one for one in facts):
        return f"{_spread([one['epochs'] for one in facts], 0)} epochs"
    return DASH


def _figures(group: str, methods: Sequence[Method], rows: Sequence[Row], floor: Row) -> list[str]:
    """Figures down, methods across, the floor last."""
    names = list(dict.fromkeys(name for row in rows for name in row["figures"].get(group, {})))
    cells = []
    for name in names:
        line = [f"{name} ({_direction(name)})" if name != "images" else name]
        for method in methods:
            line.append(_written(name, list(_by_seed(rows, method.name, group, name).values())))
        value = floor.get(group, {}).get(name)
        cells.append([*line, _written(name, [] if value is None else [value])])
    return _markdown(["", *(method.title for method in methods), "real"], cells)


def _comparisons(name: str, methods: Sequence[Method], rows: Sequence[Row]) -> list[str]:
    """Which figures of synthgen's methods are no worse than those of their rivals."""
    cells = []
    for method in methods:
        groups = dict.fromkeys(group for row in rows if row["method"] == method.name for group in row["figures"])
        for group in groups:
            for figure_name in _by_names(rows, method.name, group):
                about = figure(figure_name) if figure_name != "images" else None
                if about is None or about.margin is None or method.rival is None:
                    continue
                calm = [row for row in rows if not row["spoiled"]]
                sides = [_by_seed(calm, one, group, figure_name) for one in (method.name, method.rival)]
                found = no_worse(sides[0], sides[1], about.margin, about.better)
                if found is not None:
                    interval = f"{found.worse:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
                    verdict = "no worse" if found.holds else "not shown"
                    seeds = str(found.seeds)
                    label = f"{figure_name}, {GROUPS.get(group, group)}"
                    cells.append(
                        [method.title, _title(method.rival), label, seeds, interval, f"{about.margin:g}", verdict]
                    )
    if not cells:
        return []
    headings = ["", "against", "figure", "seeds", "worse by (95 % interval)", "margin", ""]
    intro = (
        "“No worse” says that the interval of the paired differences over seeds, positive where synthgen is worse, "
        "stays under the margin. Seeds differ in training and sampling; split and judge are the same. Rows that were "
        "disturbed do not count."
    )
    return ["", f"### {name}: no worse than", "", intro, "", *_markdown(headings, cells)]


def _remarks(kind: str, rows: Sequence[Row]) -> str:
    """How the methods were set and run, as far as rows tell."""
    present = {row["method"] for row in rows}
    lines = ["## Methods", ""]
    for method in METHODS:
        own = [row for row in rows if row["method"] == method.name]
        if method.kind != kind or method.name not in present:
            continue
        versions = sorted({f"{name} {version}" for row in own for name, version in row.get("versions", {}).items()})
        made = list(dict.fromkeys(", ".join(f"{k} {v}" for k, v in row["settings"].items()) for row in own))
        settings = " / ".join(made) or "defaults"
        settings += f"; at {', '.join(sorted({row['commit'] for row in own}))}"
        remark = f"; {method.remark}" if method.remark else ""
        lines.append(f"- **{method.title}** (`{method.name}`; {', '.join(versions)}): {settings}{remark}")
    cpus, threads = sorted({row["cpu"] for row in rows}), sorted({row["threads"] for row in rows})
    dates = sorted(row["date"][:10] for row in rows)
    measured = f"Measured {dates[0]} to {dates[-1]} on {'; '.join(cpus)}, with {', '.join(map(str, threads))} threads."
    judges = sorted({", ".join(f"{k} {v}" for k, v in row["judged by"].items()) for row in rows if "judged by" in row})
    lines += ["", f"{measured} Judged with {' or '.join(judges)}." if judges else measured]
    if len(cpus) > 1:
        lines += ["", "Times and figures after equal time of different CPUs do not compare."]
    if kind == "images" and len(judges) > 1:
        lines += ["", "Figures over different classifiers do not compare."]
    return "\n".join([*lines, ""])


def _plot(kind: str, name: str, rows: Sequence[Row], floor: Row, file: Path) -> None:
    """One point a method, mean over seeds; synthgen's are filled."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    group, stem, across = PLOTTED[kind]
    points = []
    for method in METHODS:
        own = [row for row in rows if row["method"] == method.name and row["data"] == name and row["status"] == "done"]
        values = [_value(row, group, stem) for row in own]
        if own and None not in values:
            seconds = [row["fit_seconds"] if kind == "tables" else _rate(row) for row in own]
            points.append((method, np.mean(seconds), np.mean(values)))  # type: ignore[arg-type]
    if not points:
        return
    figure_, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    shapes = {own: iter(cycle("os^Dv")) for own in (True, False)}
    for method, seconds, value in points:
        colour = "tab:blue" if method.own else "tab:orange"
        style = {"color": colour if method.own else "none", "edgecolor": colour, "marker": next(shapes[method.own])}
        axes.scatter(seconds, value, s=55, linewidth=1.5, label=method.title, **style)
    # Beside the axes: methods that are alike would write over each other.
    figure_.legend(loc="outside right upper", frameon=False, fontsize=9)
    level = next(
        (value for key, value in floor.get(group, {}).items() if key == stem or key.startswith(f"{stem}-")), None
    )
    if level is not None:
        axes.axhline(level, color="grey", linewidth=0.8, linestyle="--")
        axes.annotate("real", (0, level), xycoords=("axes fraction", "data"), xytext=(3, 3), textcoords="offset points")
    axes.set(xscale="log", xlabel=across, ylabel=f"{stem} ({_direction(stem)})", title=name)
    if kind == "images":
        axes.set_yscale("log")
    axes.set_xlim(min(point[1] for point in points) / 1.6, max(point[1] for point in points) * 1.6)
    axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure_.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure_)


def _value(row: Row, group: str, stem: str) -> float | None:
    held = row["figures"].get(group, {})
    return next((value for key, value in held.items() if key == stem or key.startswith(f"{stem}-")), None)


def _by_names(rows: Sequence[Row], method: str, group: str) -> Iterable[str]:
    return dict.fromkeys(name for row in rows if row["method"] == method for name in row["figures"].get(group, {}))


def _by_seed(rows: Sequence[Row], method: str, group: str, name: str) -> dict[int, float]:
    found: dict[int, float] = defaultdict(float)
    for row in rows:
        value = row["figures"].get(group, {}).get(name)
        if row["method"] == method and value is not None:
            found[row["seed"]] = value
    return dict(found)


def _written(name: str, values: Sequence[float]) -> str:
    if not values:
        return DASH
    if name == "images":
        return f"{values[0]:,.0f}"
    if figure(name).percent:
        return f"{_spread([100 * value for value in values], 2)} %"
    return _spread(values, 3)


def _spread(values: Sequence[float], digits: int) -> str:
    """The mean, and half the range where there are several."""
    mean = f"{np.mean(values):,.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.ptp(values) / 2:,.{digits}f}"


def _direction(name: str) -> str:
    better = figure(name).better
    return {"lower": "↓", "higher": "↑"}.get(better, f"→ {better}")


def _title(name: str) -> str:
    return next((method.title for method in METHODS if method.name == name), name)


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return [f"| {' | '.join(cells)} |".replace("|  |", "| |", 1) for cells in (headings, rule, *rows)]
