"""The long form of the fault suite: every trial in a real process, on real data, and a table of what was survived.

A trial that has passed is not tried again for the same code: the script goes on where it was cut. Arguments narrow it
to kinds of trials: `scripts/faults kill fuzz_csv`.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.faults.fuzz import fuzz_checkpoint, fuzz_csv
from tests.faults.workplace import FAMILIES, Workplace, moments

SOURCE = [*sorted(Path("synthgen").rglob("*.py")), *sorted(Path("configs").rglob("*.yaml"))]
CODE = hashlib.sha256(b"".join(file.read_bytes() for file in SOURCE)).hexdigest()[:8]
OUTPUT = Path("outputs/faults") / CODE
KILLS = 20
FUZZED = 2000
FUZZED_AT_ONCE = 50


def main() -> None:
    """Tries what has not been tried, and prints the table."""
    console = Console(highlight=False)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    record = OUTPUT / "trials.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    results = {line["name"]: line["error"] for line in lines}
    workplace = Workplace(OUTPUT.resolve() / "work")
    trials = [(name, run) for name, run in all_trials(workplace) if not sys.argv[1:] or kind_of(name) in sys.argv[1:]]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, record.open("a") as out:
        task = progress.add_task("faults", total=len(trials))
        for name, run in trials:
            progress.update(task, description=name)
            if results.get(name, "not tried") is not None:
                results[name] = error_of(run)
                out.write(json.dumps({"name": name, "error": results[name]}) + "\n")
                out.flush()
            progress.advance(task)
    workplace.close()
    survived, tried = defaultdict(int), defaultdict(int)
    for name, _ in trials:
        weight = FUZZED_AT_ONCE if kind_of(name).startswith("fuzz") else 1
        tried[kind_of(name)] += weight
        survived[kind_of(name)] += weight * (results[name] is None)
    table = Table(title="faults", title_justify="left")
    for heading in ("kind", "survived", "tried"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for kind in tried:
        table.add_row(kind, f"{survived[kind]:,}", f"{tried[kind]:,}")
    console.print(table)
    failed = [name for name, _ in trials if results[name] is not None]
    for name in failed:
        console.print(f"{name}: {results[name].strip().splitlines()[-1]}", markup=False)
    sys.exit(1 if failed else 0)


def kind_of(name: str) -> str:
    """First word of a trial's name."""
    return name.partition(" ")[0]


def error_of(run: Callable[[], None]) -> str | None:
    """What went wrong with a trial; None when nothing did."""
    try:
        run()
    except Exception:
        return traceback.format_exc()
    return None


def all_trials(workplace: Workplace) -> Iterator[tuple[str, Callable[[], None]]]:
    """Names and functions of all trials, always the same ones."""
    for family in FAMILIES:
        for number in range(KILLS):
            yield f"kill {family} {number}", lambda f=family, n=number: kill(workplace, f, n)
            yield f"kill_by_clock {family} {number}", lambda f=family, n=number: kill_by_clock(workplace, f, n)
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            for point, count in (("step", 1), ("step", 13), ("validation", 1), ("validation", 3), ("write", 3)):
                if count > moments(family).get(point, 0):
                    continue
                name = f"signal {family} {sent.name} {point} {count}"
                yield name, lambda f=family, s=sent, p=point, c=count: stop(workplace, f, s, p, c)
    for first in range(0, FUZZED, FUZZED_AT_ONCE):
        yield f"fuzz_checkpoint {first}", lambda first=first: fuzz(fuzz_checkpoint, workplace, first)
        yield f"fuzz_csv {first}", lambda first=first: fuzz(fuzz_csv, workplace, first)


def kill(workplace: Workplace, family: str, number: int) -> None:
    """kill −9 at a moment drawn by number, then on to the end by the same command."""
    draws = random.Random(f"{family} {number}")
    run = new_run(workplace, f"kill-{number}", family)
    points = moments(family)
    point = draws.choice(list(points))
    fault = {"point": point, "count": draws.randint(1, points[point])}
    ended = workplace.run(workplace.command(family, run), fault=fault)
    assert ended.code == -signal.SIGKILL, (ended.code, ended.err)
    workplace.finish(family, run)
    shutil.rmtree(run.parent)


def kill_by_clock(workplace: Workplace, family: str, number: int) -> None:
    """kill −9 after a drawn time, wherever the run then is, and on to the end by the same command."""
    delay = random.Random(f"{family} {number}").uniform(0.02, 2.0)
    run = new_run(workplace, f"clock-{number}", family)
    while True:
        pid = workplace.start(workplace.command(family, run))
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        if workplace.wait(pid).code == -signal.SIGKILL:
            break
        shutil.rmtree(run.parent)  # it had ended before
        delay *= 0.7
    workplace.finish(family, run)
    shutil.rmtree(run.parent)


def stop(workplace: Workplace, family: str, sent: signal.Signals, point: str, count: int) -> None:
    """A signal at a moment, its exit code, then on to the end."""
    run = new_run(workplace, f"{sent.name}-{point}-{count}", family)
    fault: dict[str, Any] = {"point": point, "count": count, "number": sent}
    ended = workplace.run(workplace.command(family, run), fault=fault)
    assert ended.code == 128 + sent, (ended.code, ended.err)
    assert '"status": "interrupted"' in (run / "run.json").read_text()
    workplace.finish(family, run)
    shutil.rmtree(run.parent)


def fuzz(one: Callable[[int, Path], str], workplace: Workplace, first: int) -> None:
    """Some mutated inputs; an error names the seed."""
    for seed in range(first, first + FUZZED_AT_ONCE):
        try:
            one(seed, workplace.folder / "mutated")
        except Exception as error:
            raise AssertionError(f"{one.__name__}({seed}): {type(error).__name__}: {error}") from error


def new_run(workplace: Workplace, name: str, family: str) -> Path:
    """An empty place for a run."""
    folder = workplace.folder / f"{name}-{family.replace('/', '-')}"
    shutil.rmtree(folder, ignore_errors=True)
    return folder / "run"


if __name__ == "__main__":
    main()
