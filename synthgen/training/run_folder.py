"""One run, one folder: its name, its config, and whether it is finished."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from synthgen.errors import SynthgenError, nearest
from synthgen.files import replacing, sha256

__all__ = ["RunFolder", "find_checkpoint", "run_hash"]

# What changes where or how loudly a run computes, not what it computes.
_NOT_COMPUTED = (
    *("run", "name", "resume", "dry_run", "output_dir", "checkpoint_dir", "logger"),
    *("save_every", "save_every_samples", "keep_best"),
)
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
    def state(self) -> dict[str, Any]:
        """What `record` wrote; empty for a new run.

        Raises:
            SynthgenError: The file is damaged.
        """
        file = self.path / "run.json"
        if not file.is_file():
            return {}
        try:
            state = json.loads(file.read_text())
        except (ValueError, RecursionError) as error:
            raise SynthgenError(f"{file}: damaged: {error}") from None
        if not isinstance(state, dict):
            raise SynthgenError(f"{file}: damaged: found a {type(state).__name__}, expected facts by name")
        return state

    @property
    def finished(self) -> bool:
        """Whether training has ended by itself."""
        return self.state.get("status") == "finished"

    def exported(self, checkpoint: Path) -> bool:
        """Whether a checkpoint folder is the one that this run has exported, and no other model since."""
        manifest = checkpoint / "manifest.json"
        if not (checkpoint / "config.yaml").is_file():
            return False
        wrote = self.state.get("manifest")  # older versions noted none
        return wrote is None or (manifest.is_file() and sha256(manifest) == wrote)

    def check_data(self, fingerprint: str) -> None:
        """Makes sure that a run that is there is of this data.

        Raises:
            SynthgenError: It is not.
        """
        if self.state.get("data", fingerprint) != fingerprint:
            raise SynthgenError(
                f"{self.path}: the data has changed since this run began; bring the old data back, or start a new run"
            )

    def config(self) -> dict[str, Any]:
        """The resolved config.

        Raises:
            SynthgenError: The folder is not a run's, or its config is damaged.
        """
        file = self.path / "config.yaml"
        if not file.is_file():
            raise SynthgenError(f"{self.path}: not a run folder: it lacks config.yaml")
        try:
            config = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise SynthgenError(f"{file}: damaged: {' '.join(str(error).split())}") from None
        if not isinstance(config, dict):
            raise SynthgenError(f"{file}: damaged: found a {type(config).__name__}, expected settings by name")
        return config

    def begin(self, config: dict[str, Any], **facts: Any) -> None:
        """Writes the config, and for a new run the facts of its beginning."""
        with replacing(self.path / "config.yaml") as partial:
            partial.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        if not self.state:
            self.record(status="running", **facts)

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
        kept["data"] = {k: v for k, v in kept["data"].items() if k not in ("path", "name", "streamed")}
    text = json.dumps([kept, fingerprint], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def find_checkpoint(text: str, checkpoint_dir: str = "checkpoints") -> Path:
    """The checkpoint folder that a person means: a folder, its bare name under `checkpoint_dir`, or a run folder.

    Raises:
        SynthgenError: None of them is there; the message names the nearest.
    """
    for path in (Path(text), Path(checkpoint_dir) / text):
        if (path / "run.json").is_file():
            exported = RunFolder(path).state.get("checkpoint")
            if not exported:
                raise SynthgenError(
                    f"{path}: this run has exported no checkpoint yet; go on with synthgen train run={path}"
                )
            if not RunFolder(path).exported(Path(exported)):
                raise SynthgenError(
                    f"{exported}: is no longer what this run has exported; synthgen train run={path} exports it again"
                )
            return Path(exported)
        if path.is_dir():
            return path
    known = Path(checkpoint_dir)
    names = sorted(entry.name for entry in known.iterdir() if entry.is_dir()) if known.is_dir() else []
    hint = nearest(Path(text).name, names, what=f"{known} holds") if names else f"{known} holds none"
    raise SynthgenError(f"checkpoint={text}: no such checkpoint folder; {hint}")
