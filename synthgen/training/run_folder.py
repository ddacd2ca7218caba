"""One run, one folder: its name, its config, and whether it is finished."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from synthgen.errors import SynthgenError
from synthgen.files import replacing

__all__ = ["RunFolder", "run_hash"]

# What changes where or how loudly a run computes, not what it computes.
_NOT_COMPUTED = ("run", "name", "resume", "dry_run", "output_dir", "checkpoint_dir", "logger")
_NOT_COMPUTED_TRAINER = ("accelerator", "devices", "num_nodes", "strategy", "enable_progress_bar", "log_every_n_steps")


class RunFolder:
    """The folder of one run.

    It holds `config.yaml` (resolved), `run.json` (progress and end), `metrics.csv`, `last.ckpt`, the one
    before it, and the best.

    Args:
        path: Where it is; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def last_checkpoint(self) -> Path:
        """Training state from which the run goes on."""
        return self.path / "last.ckpt"

    @property
    def state(self) -> dict[str, Any]:
        """What `record` wrote; empty for a new run."""
        file = self.path / "run.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    @property
    def finished(self) -> bool:
        """Whether training has ended by itself."""
        return self.state.get("status") == "finished"

    def config(self) -> dict[str, Any]:
        """The resolved config.

        Raises:
            SynthgenError: The folder is not a run's.
        """
        file = self.path / "config.yaml"
        if not file.is_file():
            raise SynthgenError(f"{self.path}: not a run folder: it lacks config.yaml")
        return yaml.safe_load(file.read_text())

    def begin(self, config: dict[str, Any]) -> None:
        """Writes the config."""
        with replacing(self.path / "config.yaml") as partial:
            partial.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        if not self.state:
            self.record(status="running")

    def record(self, **facts: Any) -> None:
        """Adds facts to `run.json`."""
        state = {**self.state, **facts}
        with replacing(self.path / "run.json") as partial:
            partial.write_text(json.dumps(state, indent=2))

    def sibling(self) -> "RunFolder":
        """The first numbered folder beside this one that is not there yet."""
        number = 2
        while (path := self.path.with_name(f"{self.path.name}-{number}")).exists():
            number += 1
        return RunFolder(path)


def run_hash(config: dict[str, Any], fingerprint: str) -> str:
    """Eight hexadecimal digits of what a run computes: its data and its config, less devices, logging and paths."""
    kept = {key: value for key, value in config.items() if key not in _NOT_COMPUTED}
    if isinstance(kept.get("trainer"), dict):
        kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in _NOT_COMPUTED_TRAINER}
    if isinstance(kept.get("callbacks"), dict):
        kept["callbacks"] = {k: v for k, v in kept["callbacks"].items() if k != "progress"}
    if isinstance(kept.get("data"), dict):
        kept["data"] = {k: v for k, v in kept["data"].items() if k not in ("path", "name")}
    text = json.dumps([kept, fingerprint], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
