"""Rows of a committed JSON file, one a method, data set and seed; it is replaced whole, or not at all."""

import json
from pathlib import Path
from typing import Any

from synthgen.errors import SynthgenError
from synthgen.files import replacing

__all__ = ["Record"]

Key = tuple[str, str, int]


class Record:
    """What has been measured.

    Args:
        file: The JSON file; read anew for every question, so that two benches may write to it in turn.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Sorted by data set, method and seed."""
        return self._read()["rows"]

    @property
    def floors(self) -> dict[str, Any]:
        """Figures of held-out real data by the name of the data set."""
        return self._read()["floors"]

    def row(self, method: str, data: str, seed: int) -> dict[str, Any] | None:
        """The one of this key, or None."""
        return next((row for row in self.rows if _key(row) == (method, data, seed)), None)

    def put(self, row: dict[str, Any]) -> None:
        """Adds a row, in place of an older one of its key."""
        held = self._read()
        rows = [other for other in held["rows"] if _key(other) != _key(row)]
        held["rows"] = sorted([*rows, row], key=lambda one: (one["data"], one["method"], one["seed"]))
        self._write(held)

    def put_floor(self, data: str, floor: dict[str, Any]) -> None:
        """Sets the figures of held-out real data."""
        held = self._read()
        held["floors"] = dict(sorted({**held["floors"], data: floor}.items()))
        self._write(held)

    def _read(self) -> dict[str, Any]:
        if not self.file.is_file():
            return {"floors": {}, "rows": []}
        try:
            return json.loads(self.file.read_text())
        except ValueError as error:
            raise SynthgenError(f"{self.file}: damaged: {error}; bring it back from git") from None

    def _write(self, held: dict[str, Any]) -> None:
        with replacing(self.file) as partial:
            # Not a number is null: JSON has none.
            partial.write_text(json.dumps(_without_nan(held), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _key(row: dict[str, Any]) -> Key:
    return row["method"], row["data"], row["seed"]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
