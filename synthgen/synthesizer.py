"""A synthesizer: a codec and a model, fitted, sampled, saved and loaded as one."""

import json
import warnings
from collections.abc import Callable
from inspect import signature
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file

from synthgen import __version__
from synthgen.checkpoint_folder import CODECS, FORMAT_VERSION, read_checkpoint
from synthgen.configuration import build
from synthgen.data.images.codec import ImageCodec
from synthgen.data.images.images import Images
from synthgen.data.images.outputs import check_image_output, image_writer
from synthgen.data.module import DataModule
from synthgen.data.tables.codec import TableCodec
from synthgen.data.tables.constraints.kinds import FixedCombinations
from synthgen.data.tables.delimited import Dialect
from synthgen.data.tables.outputs import is_text, table_writer
from synthgen.data.tables.rebalancing import rebalanced
from synthgen.data.tables.sources import to_frame
from synthgen.errors import SynthgenError, nearest, rows_named
from synthgen.files import no_space, replacing_folder, sha256, write_manifest
from synthgen.models.base import Model
from synthgen.models.keeping import Acceptance, Unmet
from synthgen.models.stages import Batch

__all__ = ["Synthesizer"]

# Rows that are encoded together, and cells that are drawn together, where a table may be larger than memory.
_CODED = 65_536
_PART_CELLS = 2**23
# And pixels.
_PART_PIXELS = 2**26


class Synthesizer:
    """What a user fits, samples, saves and loads. On disk it is a *checkpoint folder*.

    Attributes:
        codec: The map between real data and tensors.
        model: The generative model.
        config: Plain config that builds the model: its `_target_` and arguments.
        facts: What is known of its making, for the card: data, rows, examples seen.
        weights: The first digits of the SHA-256 of the weights that it was loaded with; None of one that was not.
    """

    weights: str | None = None

    def __init__(
        self,
        codec: TableCodec | ImageCodec,
        model: Model,
        config: dict[str, Any],
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.codec = codec
        self.model = model
        self.config = config
        self.facts = facts or {}

    @classmethod
    def build(cls, config: dict[str, Any], data: DataModule) -> "Synthesizer":
        """An untrained synthesizer for loaded data.

        Raises:
            SynthgenError: A model for tables is asked to learn images, or the other way round.
        """
        kind = data.codec.kind
        made_for = config["_target_"].split(".")[-3]
        if made_for in CODECS and made_for != kind:
            raise SynthgenError(
                f"model {config['_target_'].split('.')[-1]} learns {made_for}s, but the data is {kind}s"
            )
        facts = {"data": data.name, "rows": data.training_rows}
        return cls(data.codec, build(config)(data.codec.layout), config, facts)

    def sample(
        self,
        n: int,
        condition: dict[str, Any] | pd.DataFrame | None = None,
        seed: int = 0,
        start: int = 0,
        progress: Callable[[int], None] | None = None,
        rebalance: str | dict[str, dict[Any, float]] | None = None,
        **options: Any,
    ) -> pd.DataFrame | Images:
        """Draws synthetic examples `start` .. `start + n − 1` of the endless sequence that `seed` names.

        Args:
            n: Number of rows or images, at least 1.
            condition: Values that samples shall have: one a column for all of them, where None and NaN ask for a
                missing cell; or for a table a DataFrame with one row a sample, where None and NaN leave a cell free and
                `synthgen.MISSING` asks for a missing one. For images `{"label": ...}`.
            seed: Names the sequence; the same seed gives the same bytes on the same machine.
            start: Index of the first example: 1,000 rows at once are the same as ten times 100 by `start`.
            progress: Called with the number of examples that have just been drawn.
            rebalance: A column of a table whose values shall be equally frequent, or by column the shares that some of
                its values shall have; the other values have equal parts of what is left. Rows are drawn given values
                that have those shares.
            **options: The model's own: `sampler`, `steps`, `guidance`, `temperature`, `top_p`.

        Returns:
            A DataFrame with the real one's columns and dtypes, or `Images`.

        Raises:
            SynthgenError: n or start out of range, a condition that training never saw or that contradicts a
                constraint, constraints that hardly a row obeys, or a model that draws values that are not finite.
        """
        _check_whole(n=(n, 1), start=(start, 0), seed=(seed, 0), steps=(options.get("steps", 1), 1))
        if not isinstance(options.get("guidance", 1.0), int | float):
            raise SynthgenError(f"guidance: found {options['guidance']!r}, expected a number")
        known = [
            name
            for name, kind in signature(self.model.sample_block).parameters.items()
            if kind.default is not kind.empty
        ]
        for name in options:
            if name not in known:
                hint = nearest(name, known) if known else "it has no options"
                raise SynthgenError(f"{name}: {type(self.model).__name__} has no such option of sampling; {hint}")
        condition = to_frame(condition)
        if rebalance is not None:
            condition = rebalanced(self.codec, rebalance, condition, n, int(seed), int(start))
        if condition is not None and not len(condition):
            condition = None
        if condition is not None and self.model.conditioning == "none":
            raise SynthgenError(f"condition: {type(self.model).__name__} takes none")
        if isinstance(self.codec, TableCodec):
            return self._sample_rows(self.codec, n, condition, int(seed), int(start), progress, options)
        encoded = None if condition is None else self.codec.encode_condition(condition, n)
        return self.codec.decode(_finite(self.model.sample(n, encoded, int(seed), int(start), progress, **options)))

    def _sample_rows(
        self,
        codec: TableCodec,
        n: int,
        condition: dict[str, Any] | pd.DataFrame | None,
        seed: int,
        start: int,
        progress: Callable[[int], None] | None,
        options: dict[str, Any],
    ) -> pd.DataFrame:
        encoded = given = None
        # A model that rejects does better with several combinations to meet than with one of them.
        by_shares = self.model.conditioning != "rejection"
        # One condition of all rows is met in order, where a row depends on those before it.
        by_shares &= isinstance(condition, pd.DataFrame) or not codec.obeyed.ordered
        if condition is not None:
            encoded = codec.encode_condition(condition, n, seed, start, by_shares)
            given = codec.given(condition, n)
        keeping = codec.keeping(given, not isinstance(condition, pd.DataFrame), by_shares)
        try:
            drawn = self.model.sample(n, encoded, seed, start, progress, keeping, **options)
        except Unmet as unmet:
            if not isinstance(condition, pd.DataFrame):
                raise
            raise _unmet(unmet, condition) from None
        return codec.decode(_finite(drawn), start, seed, given)

    def sample_to_file(
        self,
        output: str | Path,
        n: int,
        condition: dict[str, Any] | pd.DataFrame | None = None,
        seed: int = 0,
        start: int = 0,
        progress: Callable[[int], None] | None = None,
        rebalance: str | dict[str, dict[Any, float]] | None = None,
        separator: str | None = None,
        decimal: str | None = None,
        **options: Any,
    ) -> None:
        """Draws rows or images into a file a part at a time: n may be more than memory holds.

        They are those of `sample`, and the file is there when all of them are. Parts are whole blocks of the model.

        Args:
            output: Path whose suffix says its format: of a table `.csv`, `.csv.gz` or `.parquet`; of images `.zip`,
                `.tar` (WebDataset), `.parquet`, `.npz`, `.png` (a grid), or a folder. See `image_writer`.
            n: Number of rows or images, at least 1.
            condition: As for `sample`; so are the others.
            seed: Names the sequence.
            start: Index of the first row or image.
            progress: Called with the number of rows or images that have just been drawn.
            rebalance: Shares of values.
            separator: One character between the cells of a CSV file; by default that of the one that was learned from.
            decimal: Its decimal sign, "." or ","; likewise.
            **options: The model's own.

        Raises:
            SynthgenError: As `sample`, or of a suffix or a separator that is none.
        """
        _check_whole(n=(n, 1), start=(start, 0))
        condition = to_frame(condition)
        if isinstance(self.codec, ImageCodec):
            for name, value in {"separator": separator, "decimal": decimal}.items():
                if value is not None:
                    raise SynthgenError(f"{name}={value!r}: is of CSV files; these are images")
            self._images_to_file(self.codec, str(output), n, condition, seed, start, progress, options)
            return
        dialect = _dialect(self.codec.dialect, str(output), separator, decimal)
        if isinstance(condition, pd.DataFrame) and len(condition):
            # Its last row is known to be sound before the first one is drawn.
            condition = condition.reset_index(drop=True)  # whose parts know where they begin
            if len(condition) != n:
                raise SynthgenError(f"the condition has {len(condition)} rows for {n} samples; expected one row each")
            for begin in range(0, n, _CODED):
                rows = condition.iloc[begin : begin + _CODED]
                self.codec.encode_condition(rows, len(rows))
        block = self.model.block_size
        size = max(1, _PART_CELLS // (len(self.codec.schema) * block)) * block
        keeping = self.codec.keeping(None, alike=True)
        if keeping is not None and keeping.ordered:
            size = start + n  # a row depends on all of those before it, which every part would draw again
        counts: dict[str, Acceptance] = {}
        with table_writer(str(output), self.codec.schema, dialect) as write:
            low = start
            while low < start + n:
                high = min(start + n, (low // size + 1) * size)
                part = condition.iloc[low - start : high - start] if isinstance(condition, pd.DataFrame) else condition
                drawn = self.sample(high - low, part, seed, low, progress, rebalance, **options)
                assert isinstance(drawn, pd.DataFrame)
                write(drawn)
                for name in ("acceptance", "kept"):
                    if (count := getattr(self.model, name)) is not None:
                        counts.setdefault(name, Acceptance()).add(count.drawn, count.accepted)
                low = high
        self.model.acceptance, self.model.kept = counts.get("acceptance"), counts.get("kept")

    def _images_to_file(
        self,
        codec: ImageCodec,
        output: str,
        n: int,
        condition: dict[str, Any] | pd.DataFrame | None,
        seed: int,
        start: int,
        progress: Callable[[int], None] | None,
        options: dict[str, Any],
    ) -> None:
        check_image_output(output, codec.layout.channels)
        # One value an image, so that a part has its own.
        columns = None if condition is None else codec.each(condition, n)
        facts = {"seed": seed} | ({} if self.weights is None else {"checkpoint": self.weights})
        size = max(1, _PART_PIXELS // (prod(codec.layout.shape) * self.model.block_size)) * self.model.block_size
        with image_writer(output, codec.classes, facts) as write:
            low = start
            while low < start + n:
                high = min(start + n, (low // size + 1) * size)
                part = columns and {name: cells[low - start : high - start] for name, cells in columns.items()}
                drawn = self.sample(high - low, part, seed, low, progress, **options)
                assert isinstance(drawn, Images)
                write(drawn, low)
                low = high

    def log_prob(self, frame: pd.DataFrame) -> pd.Series:
        """How likely rows are under the model, by the columns together: to find what is unusual, or compare models.

        Args:
            frame: Rows with the columns of the schema; identifiers are not looked at.

        Returns:
            (rows,) logarithms of probabilities, in nats, by the frame's index. A number that is rounded counts by the
            probability of the cell as it is written, one that is not (`decimals` of None) by its density, in the units
            of the column. A frequent number that is a value of its own counts by that value's probability. A row with a
            cell that is never drawn, such as a word that training never saw, has −inf, and a warning names column and
            cell; so has, without one, a row that breaks a constraint. Probabilities are the model's own: what of them
            lies on rows that sampling rejects is not shared out among the others.

        Raises:
            SynthgenError: The model gives no probabilities, a column is not there, or a cell is none of its kind.
        """
        if not isinstance(self.codec, TableCodec):
            raise SynthgenError("log_prob: is for rows of a table")
        frame = to_frame(frame)
        never: dict[str, list[Any]] = {}
        logs = [
            self._log_prob(self.codec, frame.iloc[begin : begin + _CODED], never)
            for begin in range(0, len(frame), _CODED)
        ]
        for name, cells in never.items():
            warnings.warn(
                f"log_prob: {len(cells):,} rows have no probability: column {name!r} has {cells[0]!r}, which is never "
                "drawn",
                stacklevel=2,
            )
        return pd.Series(np.concatenate(logs) if logs else [], index=frame.index, name="log_prob", dtype=float)

    def _log_prob(self, codec: TableCodec, rows: pd.DataFrame, never: dict[str, list[Any]]) -> np.ndarray:
        """(rows,) what `log_prob` gives; adds by column the cells that are never drawn."""
        unseen = codec.never_drawn(rows)
        impossible = ~codec.obeyed.holds(rows)
        for name, cells in unseen.items():
            never.setdefault(name, []).extend(rows[name][cells].tolist())
            impossible |= cells
        logs = np.full(len(rows), -np.inf)
        if not impossible.all():
            logs[~impossible] = self.model.log_prob(codec.encode_outcomes(rows[~impossible])).numpy()
        return logs

    def to(self, device: str | torch.device) -> "Synthesizer":
        """Moves the model."""
        self.model.to(device)
        return self

    @staticmethod
    def check_target(target: Path) -> None:
        """Makes sure that a checkpoint folder may be written, before there is one to write.

        Raises:
            SynthgenError: Something is there that is no checkpoint folder.
        """
        there = {entry.name for entry in target.iterdir()} if target.is_dir() else set()
        if target.is_file() or (there and not there >= {"config.yaml", "codec.json"}):
            raise SynthgenError(f"{target}: is there and no checkpoint folder; choose a name that is not taken")

    def save(self, folder: str | Path) -> Path:
        """Writes a checkpoint folder in one move: weights, codec, config, card and their hashes, nothing executable.

        A checkpoint folder that is there is replaced; nothing else is.

        Raises:
            SynthgenError: The disk is full, or something else is there.
        """
        target = Path(folder)
        self.check_target(target)
        state = {name: value.detach().cpu().contiguous() for name, value in self.model.trained_state().items()}
        config = {
            "format_version": FORMAT_VERSION,
            "synthgen_version": __version__,
            "facts": self.facts,
            "model": self.config,
        }
        with replacing_folder(target) as partial:
            try:
                save_file(state, partial / "model.safetensors")
            except SafetensorError as error:
                raise SynthgenError(f"{target}: cannot be written: {no_space(partial) or error}") from None
            (partial / "codec.json").write_text(json.dumps(self.codec.to_dict(), ensure_ascii=False))
            (partial / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
            (partial / "card.md").write_text(_card(self, target.name))
            write_manifest(partial)
        return target

    @classmethod
    def load(cls, folder: str | Path) -> "Synthesizer":
        """Reads a checkpoint folder without executing anything from it.

        Raises:
            SynthgenError: A file is missing or damaged, the format is newer than this version reads, or the config
                names a class that it may not.
        """
        codec, model, config = read_checkpoint(Path(folder))
        synthesizer = cls(codec, model, config["model"], config.get("facts"))
        synthesizer.weights = sha256(Path(folder) / "model.safetensors")[:16]
        return synthesizer


def _dialect(own: Dialect, output: str, separator: str | None, decimal: str | None) -> Dialect:
    """How a file of samples is written: as a person asks, else as the table that was learned from."""
    if (separator, decimal) == (None, None):
        return own
    if not is_text(output):
        said = "decimal" if separator is None else "separator"
        raise SynthgenError(f"{said}: is for CSV files, found output={output}")
    separator = own.separator if separator is None else separator
    by_default = "." if separator == own.decimal else own.decimal
    return Dialect.checked(separator, by_default if decimal is None else decimal)


def _check_whole(**given: tuple[Any, int]) -> None:
    """Makes sure that arguments are whole numbers, and at least as large as said.

    Raises:
        SynthgenError: One is not.
    """
    for key, (value, least) in given.items():
        if not isinstance(value, int | np.integer) or value < least:
            raise SynthgenError(f"{key}: found {value!r}, expected at least {least}, a whole number")


def _unmet(unmet: Unmet, condition: pd.DataFrame) -> SynthgenError:
    """Which rows of a condition were not met, what the first of them asks for, and why."""
    first = condition.index.start if isinstance(condition.index, pd.RangeIndex) else 0
    row = condition.iloc[unmet.rows[0]].dropna()
    cells = ", ".join(f"{name}={cell}" for name, cell in row.items())
    which = rows_named([row + first for row in unmet.rows])
    return SynthgenError(
        f"condition: {which} cannot be met, the first with {cells}: leave such rows out, or ask for less in them; "
        f"{unmet.why.removeprefix('condition: ')}"
    )


def _finite(drawn: Batch) -> Batch:
    """What a model has drawn.

    Raises:
        SynthgenError: Numbers of it are not finite.
    """
    for name, tensor in drawn.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise SynthgenError(f"the model draws {name} values that are not finite: weights or settings are damaged")
    return drawn


def _card(synthesizer: Synthesizer, name: str) -> str:
    codec, model = synthesizer.codec, synthesizer.model
    if isinstance(codec, TableCodec):
        columns = ", ".join(f"`{column.name}` ({column.kind})" for column in codec.schema)
        content, output = f"A table of {len(codec.schema)} columns: {columns}.", "synthetic.parquet"
        given_away = (
            "every category that occurs, and of each numerical column its range and up to about a thousand of its "
            "values as they are"
        )
        if codec.obeyed.constraints:
            obeyed = "\n".join(f"- `{constraint}`" for constraint in codec.obeyed.constraints)
            content += f"\n\nIts rows obey:\n\n{obeyed}"
        if any(isinstance(constraint, FixedCombinations) for constraint in codec.obeyed.constraints):
            given_away += "; of fixed combinations each one that occurs, and how many rows have it"
    else:
        layout, output = codec.layout, "synthetic.npz"
        given_away = "the size of the images, the names and shares of their classes, and the spread of their pixels"
        if layout.attributes:
            given_away += (
                f", and class and attributes of {len(layout.described):,} of them, to a hundredth of their spread"
            )
        content = f"Images of {layout.width} × {layout.height} pixels with {layout.channels} channel(s)"
        content += f", of {len(codec.classes)} classes: {', '.join(codec.classes)}." if codec.classes else "."
        if layout.attributes:
            content += f" Attributes: {', '.join(one.name for one in layout.attributes)}."
    parameters = sum(value.numel() for value in model.trained_state().values())
    facts = "".join(f"- {key.replace('_', ' ')}: {value}\n" for key, value in synthesizer.facts.items())
    return (
        f"# {name}\n\nA synthgen checkpoint folder: `{type(model).__name__}`, {parameters:,} parameters. "
        f"What it draws is synthetic.\n\n{content}\n\n{facts}"
        f"- conditions: {model.conditioning}\n\n"
        f"```\nsynthgen sample checkpoint={name} n=1000 output={output}\n```\n\n"
        "Synthetic data is not private by itself: evaluate it before you share it (`synthgen evaluate`). "
        f"`codec.json` holds, of the training data, {given_away}.\n"
    )
