"""Where the configs are, and how they become objects."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from synthgen.errors import SynthgenError

__all__ = ["build", "check_targets", "compose", "compose_unresolved", "config_folder", "to_plain"]

# Classes of other packages that a checkpoint folder may name: plain networks that load without custom code.
_FOREIGN_TARGETS = {"diffusers.UNet2DModel", "diffusers.AutoencoderKL"}
_HYDRA_KEYS = {"_target_", "_partial_"}


def config_folder() -> Path:
    """The folder of the configs: inside the package in a wheel, beside it in a clone or an editable install."""
    package = Path(__file__).parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise SynthgenError(f"found no configs in {package} or beside it; reinstall synthgen")


def build(config: dict[str, Any], **arguments: Any) -> Any:
    """The object that a plain config with a `_target_` describes.

    Raises:
        SynthgenError: The object refused its arguments; its own message is kept.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(config, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, SynthgenError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, TypeError):
            name = config["_target_"].rpartition(".")[2]
            raise SynthgenError(f"{name}: {error.__cause__}") from error
        raise


def to_plain(config: Any) -> dict[str, Any]:
    """A composed config, resolved, as plain dicts and lists.

    Raises:
        omegaconf.errors.MissingMandatoryValue: A value that must be given is not.
    """
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def compose(name: str, overrides: list[str]) -> dict[str, Any]:
    """The resolved config of a command, as plain dicts and lists.

    Works inside an application that uses Hydra itself: its global state is put back as it was.

    Args:
        name: "train", "sample", "evaluate" or "inspect".
        overrides: As on the command line.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with _own_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        return to_plain(hydra_compose(name, overrides))


def compose_unresolved(name: str) -> dict[str, Any]:
    """The default config of a command with what must be given still missing."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with _own_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        plain = OmegaConf.to_container(hydra_compose(name), resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check_targets(config: Any, bases: tuple[type, ...], where: str) -> None:
    """Makes sure that a config from a checkpoint folder can only build what is expected.

    Every `_target_` must name a class that is defined in synthgen and derived from one of `bases`, or one of a short
    list of networks of diffusers. A prefix alone would not do: `synthgen.x.os.system` begins well, too.

    Args:
        config: Plain dicts, lists and scalars.
        bases: Allowed base classes.
        where: File that the config came from, for the message.

    Raises:
        SynthgenError: A target that is not allowed, another of Hydra's special keys, or an interpolation.
    """
    if isinstance(config, dict):
        for key, value in config.items():
            if isinstance(key, str) and key.startswith("_") and key.endswith("_") and key not in _HYDRA_KEYS:
                raise SynthgenError(f"{where}: found the key {key!r}, which a checkpoint folder may not use")
            if key == "_target_":
                _check_target(value, bases, where)
            else:
                check_targets(value, bases, where)
    elif isinstance(config, list):
        for value in config:
            check_targets(value, bases, where)
    elif isinstance(config, str) and "${" in config:
        raise SynthgenError(f"{where}: found the interpolation {config!r}, which a checkpoint folder may not use")


def _check_target(target: Any, bases: tuple[type, ...], where: str) -> None:
    refused = SynthgenError(
        f"{where}: _target_ {target!r} is not a class of synthgen that a checkpoint folder may build; nothing was run"
    )
    if not isinstance(target, str):
        raise refused
    if target in _FOREIGN_TARGETS:
        return
    # Importing is running: only modules of this package are ever imported here.
    if not target.startswith("synthgen."):
        raise refused
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        raise refused from None
    if not isinstance(found, type) or found.__module__ != module or not issubclass(found, bases):
        raise refused


@contextmanager
def _own_hydra() -> Iterator[None]:
    from hydra.core.global_hydra import GlobalHydra

    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = outer
