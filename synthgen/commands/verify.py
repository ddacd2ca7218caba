"""`synthgen verify`: check the hashes of a checkpoint and say what is inside, without loading it."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from synthgen.configuration import to_plain
from synthgen.errors import SynthgenError

__all__ = ["run"]

_SHOWN = 40


def run(config: DictConfig) -> None:
    """Prints files, hashes and contents; ends with an error that names every file that is not as it was written."""
    from rich.console import Console

    from synthgen.training.run_folder import find_checkpoint

    console = Console(highlight=False, soft_wrap=True)
    settings = to_plain(config)
    path = Path(str(settings["checkpoint"]))
    faults: dict[Path, str] = {}
    if path.is_file():
        faults |= _training_checkpoints(console, [path])
    else:
        in_run = sorted(path.glob("*.ckpt")) if (path / "run.json").is_file() else []
        faults |= _training_checkpoints(console, in_run)
        try:
            folder = find_checkpoint(str(path), settings["checkpoint_dir"])
        except SynthgenError:
            if not in_run:
                raise
        else:
            faults |= _checkpoint_folder(console, folder)
    if faults:
        raise SynthgenError("; ".join(f"{file}: {fault}" for file, fault in faults.items()))
    console.print("every file with a hash is as it was written")


def _training_checkpoints(console: Any, files: list[Path]) -> dict[Path, str]:
    from rich.table import Table

    from synthgen.training.contents import archive_records
    from synthgen.training.seal import fault_of

    if not files:
        return {}
    faults = {file: fault for file in files if (fault := fault_of(file))}
    table = Table(title=f"training checkpoints in {files[0].parent}", title_justify="left")
    for heading in ("file", "bytes", "records", "SHA-256"):
        table.add_column(heading, justify="right" if heading in ("bytes", "records") else "left")
    for file in files:
        # Only what is as it was written is worth a look inside.
        records = "–" if file in faults else f"{len(archive_records(file)):,}"
        table.add_row(file.name, f"{file.stat().st_size:,}", records, faults.get(file, "as written"))
    console.print(table)
    return faults


def _checkpoint_folder(console: Any, folder: Path) -> dict[Path, str]:
    import yaml
    from rich.table import Table

    from synthgen.files import manifest_faults
    from synthgen.training.contents import read_tensor_entries

    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise SynthgenError(f"{folder}: not a checkpoint folder: it lacks model.safetensors")
    hashes = manifest_faults(folder)
    faults = {folder / name: fault for name, fault in (hashes or {}).items() if fault}
    table = Table(title=str(folder), title_justify="left")
    for heading in ("file", "bytes", "SHA-256"):
        table.add_column(heading, justify="right" if heading == "bytes" else "left")
    for file in sorted(entry for entry in folder.iterdir() if entry.is_file()):
        status = "no hash" if hashes is None or file.name not in hashes else hashes[file.name] or "as written"
        table.add_row(file.name, f"{file.stat().st_size:,}", status)
    console.print(table)
    if hashes is None:
        console.print("no manifest.json: an older synthgen wrote this folder, without hashes")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        console.print(f"model           {config['model']['_target_']}", markup=False)
        console.print(f"written by      synthgen {config['synthgen_version']}, format {config['format_version']}")
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        faults.setdefault(folder / "config.yaml", f"cannot be read: {type(error).__name__}")
    if weights in faults:
        return faults
    entries = read_tensor_entries(weights)
    elements = sum(entry.elements for entry in entries)
    console.print(f"tensors         {len(entries):,} with {elements:,} elements")
    for entry in entries[:_SHOWN]:
        shape = " × ".join(map(str, entry.shape)) or "scalar"
        console.print(f"  {entry.name}  {entry.dtype}  {shape}", markup=False)
    if len(entries) > _SHOWN:
        console.print(f"  and {len(entries) - _SHOWN} more")
    return faults
