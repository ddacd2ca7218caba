"""`synthgen sample`: draw synthetic data from a checkpoint folder."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]

# Of sampling, each of some models.
_OPTIONS = ("sampler", "steps", "guidance", "temperature", "top_p")


def run(config: DictConfig) -> None:
    """Samples and writes in one move."""
    settings = to_plain(config)
    n, output = settings["n"], str(settings["output"])
    of_file = n is None and _is_file(settings["condition"])
    if n is None and not of_file:
        raise SynthgenError("n: is missing: how many rows or images")
    if not of_file and (not isinstance(n, int) or n < 1):  # before the imports, which take seconds
        raise SynthgenError(f"n: found {n}, expected at least 1, a whole number")

    import torch
    from rich.console import Console
    from rich.progress import Progress

    from synthgen.data.images.outputs import check_image_output
    from synthgen.data.tables.outputs import check_table_output
    from synthgen.synthesizer import Synthesizer
    from synthgen.training.run_folder import find_checkpoint

    synthesizer = Synthesizer.load(find_checkpoint(str(settings["checkpoint"]), settings["checkpoint_dir"]))
    # What cannot be written is known before the work is done.
    if synthesizer.codec.kind == "table":
        check_table_output(output)
    else:
        check_image_output(output, synthesizer.codec.layout.channels)  # type: ignore[union-attr]
    device = settings["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        on_gpu = torch.device(device).type == "cuda"
    except (RuntimeError, TypeError):
        raise SynthgenError(f"device: found {device!r}, expected auto, cpu, cuda or cuda:N") from None
    if on_gpu and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise SynthgenError(f"device: found {device!r}, but this machine has {torch.cuda.device_count()} GPUs")
    condition = _condition(settings["condition"])
    n = len(condition) if of_file else n
    wanted: dict[str, Any] = {
        "condition": condition,
        "rebalance": _rebalance(settings["rebalance"]),
        **{key: settings[key] for key in ("seed", "start")},
        **{key: settings[key] for key in _OPTIONS if settings[key] is not None},
    }
    synthesizer.to(device)
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=n)
        wanted["progress"] = lambda rows: progress.advance(task, rows)
        text = {key: settings[key] for key in ("separator", "decimal") if settings[key] is not None}
        synthesizer.sample_to_file(output, n, **text, **wanted)
    console = Console(highlight=False, soft_wrap=True)
    if (acceptance := synthesizer.model.acceptance) is not None:
        console.print(f"{acceptance.rate:.2%} of {acceptance.drawn:,} rows drawn met the condition")
    if (kept := synthesizer.model.kept) is not None:
        console.print(f"{kept.rate:.2%} of {kept.drawn:,} rows drawn were kept by the constraints")
    console.print(f"{n:,} {'rows' if synthesizer.codec.kind == 'table' else 'images'}: {output}")


def _is_file(condition: Any) -> bool:
    """Whether a condition is the path of a file."""
    return isinstance(condition, str) and not condition.startswith("{") and bool(Path(condition).suffix)


def _condition(given: Any) -> Any:
    """A condition from its text: JSON of one value a column, or the path of a CSV file with one row a sample."""
    from synthgen.data.tables.sources import read_table

    if given is None:
        return None
    if isinstance(given, str) and given.startswith("{"):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise SynthgenError(f"condition={given}: not JSON: {error}; condition.COLUMN=VALUE needs none") from None
    if isinstance(given, dict):
        return given
    if _is_file(given):
        return read_table(given)
    raise SynthgenError(f"condition={given}: expected condition.COLUMN=VALUE or the path of a .csv or .parquet file")


def _rebalance(given: Any) -> Any:
    """A column, or from its JSON text the shares of values of some columns."""
    if not isinstance(given, str) or not given.startswith("{"):
        return given
    shares: dict[str, Any] = json.loads(given)
    for column, text in shares.items():
        try:
            shares[column] = json.loads(str(text))
        except json.JSONDecodeError:
            raise SynthgenError(
                f"rebalance.{column}: found {text!r}, expected shares by value, such as '{{\"yes\": 0.3}}'"
            ) from None
    return shares
