"""Checkpoint folders, read with care: they may come from anyone."""

import json
from math import prod
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from synthgen.configuration import build, check_targets
from synthgen.data.images.codec import ImageCodec
from synthgen.data.tables.codec import TableCodec
from synthgen.errors import SynthgenError, nearest
from synthgen.files import manifest_faults
from synthgen.layout import ImageLayout, TableLayout
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Optimization
from synthgen.training.contents import TensorEntry, read_tensor_entries

__all__ = ["CODECS", "FORMAT_VERSION", "read_checkpoint"]

#: Of checkpoint folders. Older ones load for ever; newer ones are refused.
FORMAT_VERSION = 1

#: By the kind of data.
CODECS: dict[str, type[TableCodec] | type[ImageCodec]] = {codec.kind: codec for codec in (TableCodec, ImageCodec)}
_FILES = ("config.yaml", "codec.json", "model.safetensors")


def read_checkpoint(source: Path) -> tuple[TableCodec | ImageCodec, Model, dict[str, Any]]:
    """Reads a checkpoint folder without executing anything from it.

    Returns:
        The codec, the model with its weights, and the config.

    Raises:
        SynthgenError: A file is missing or damaged, the format is newer than this version reads, or the config names a
            class that it may not.
    """
    if not source.is_dir():
        beside = [entry.name for entry in source.parent.iterdir() if entry.is_dir()] if source.parent.is_dir() else []
        hint = f"; {nearest(source.name, beside, what='beside it are')}" if beside else ""
        raise SynthgenError(f"{source}: no such checkpoint folder{hint}")
    for name in _FILES:
        if not (source / name).is_file():
            raise SynthgenError(f"{source}: the checkpoint folder lacks {name}; expected {', '.join(_FILES)}")
    # A person may edit config and card; what is learned must be as it was written. Older folders have no hashes.
    for name, fault in (manifest_faults(source) or {}).items():
        if fault and name in ("codec.json", "model.safetensors"):
            raise SynthgenError(f"{source / name}: damaged or truncated: it is not what manifest.json says")
    config = _read_config(source / "config.yaml")
    codec = _read_codec(source / "codec.json")
    check_targets(config["model"], (Model, nn.Module, Optimization, EMA), str(source / "config.yaml"))
    weights = source / "model.safetensors"
    model = _build_within(config["model"], codec.layout, read_tensor_entries(weights), source / "config.yaml")
    try:
        state, expected = load_file(weights), model.trained_state()
        for name, value in state.items():
            # Loading would convert without a word.
            if name in expected and value.dtype != expected[name].dtype:
                raise RuntimeError(f"{name} is of {value.dtype}, expected {expected[name].dtype}")
        model.load_trained_state(state)
    except (SafetensorError, OSError) as error:
        raise SynthgenError(f"{weights}: damaged or truncated: {error}") from None
    except RuntimeError as error:
        raise SynthgenError(f"{weights}: does not fit config.yaml: {str(error).splitlines()[-1].strip()}") from None
    model.eval()
    return codec, model, config


class _Bounded(TorchDispatchMode):
    """Refuses to make tensors beyond a number of operations and elements, before memory is claimed for them."""

    def __init__(self, operations: int, elements: int) -> None:
        super().__init__()
        self.operations = operations
        self.elements = elements

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations -= 1
        # Else it is made of one that is there, or of several, as by `torch.cat`.
        if not any(isinstance(argument, torch.Tensor) for argument in tree_leaves(args)):
            size = args[0] if args else ()
            self.elements -= prod(size) if isinstance(size, list | tuple) else int(size)
        if min(self.operations, self.elements) < 0:
            raise SynthgenError("describes a model far larger than the weights in model.safetensors")
        return func(*args, **(kwargs or {}))


def _build_within(
    config: dict[str, Any], layout: TableLayout | ImageLayout, entries: list[TensorEntry], file: Path
) -> Model:
    """The model that a config describes, if it is no larger than its weights allow.

    Raises:
        SynthgenError: It is, or the config describes none.
    """
    # Besides what sampling uses, a model has what only training uses: a second copy, a discriminator.
    elements = 2**24 + 16 * sum(entry.elements for entry in entries)
    try:
        with _Bounded(5000 + 200 * len(entries), elements):
            model = build(config)(layout)
    except Exception as error:  # whatever a constructor makes of numbers that were never meant for it
        cause = error.__cause__ if isinstance(error.__cause__, SynthgenError) else error
        reason = str(cause) if isinstance(cause, SynthgenError) else f"{type(cause).__name__}: {cause}"
        raise SynthgenError(f"{file}: cannot build the model: {reason.splitlines()[0]}") from error
    if not isinstance(model, Model):
        raise SynthgenError(f"{file}: describes a {type(model).__name__}, expected a model")
    return model


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(file.read_text())
        version = config["format_version"]
        config["model"]["_target_"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        raise SynthgenError(f"{file}: not the config of a checkpoint folder: lacks format_version or model") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise SynthgenError(
            f"{file}: found format version {version}, expected at most {FORMAT_VERSION}: "
            "a newer synthgen wrote it; upgrade"
        )
    if not isinstance(config.get("facts", {}), dict | None):
        raise SynthgenError(f"{file}: facts: found a {type(config['facts']).__name__}, expected facts by name")
    return config


def _read_codec(file: Path) -> TableCodec | ImageCodec:
    try:
        data = json.loads(file.read_text())
        return CODECS[data["kind"]].from_dict(data)
    except SynthgenError as error:
        raise SynthgenError(f"{file}: damaged: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise SynthgenError(f"{file}: damaged: {type(error).__name__}: {error}") from None
