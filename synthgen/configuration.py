"""Where the configs are, and how they become objects."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import isfunction, signature
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from synthgen.errors import SynthgenError, chain, nearest

__all__ = [
    "build",
    "check_targets",
    "compose",
    "compose_unresolved",
    "config_fault",
    "config_folder",
    "to_plain",
]

# Classes of other packages that a checkpoint folder may name: plain networks that load without custom code.
_FOREIGN_TARGETS = {"diffusers.UNet2DModel", "diffusers.AutoencoderKL"}
_HYDRA_KEYS = {"_target_", "_partial_"}
_PLAIN = (bool, int, float, str, type(None))
# Settings in one config, counted as often as aliases repeat them: far more than any model has.
_MAX_SETTINGS = 100_000


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
        SynthgenError: An argument is of another type than synthgen's own classes declare, or the object refused its
            arguments; its own message is kept.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    _check_arguments(config)
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

    Raises:
        SynthgenError: An override that cannot be read, or that names a choice or a key that is not there.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    try:
        with _own_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
            return to_plain(hydra_compose(name, overrides))
    except Exception as error:
        message = config_fault(error, name)
        if message is None:
            raise
        raise SynthgenError(message) from None


def config_fault(error: BaseException, command: str) -> str | None:
    """What is wrong with what a person said of a command's config, and the nearest valid name; None if nothing is."""
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
    from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

    for cause in chain(error):
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            return _unknown_choice(cause)
        if isinstance(cause, MissingMandatoryValue):
            key = str(cause).rpartition(": ")[2].split()[0]
            return f"{key} is missing: give {key}=VALUE; see synthgen {command} --help"
        if isinstance(cause, OverrideParseException):
            return f"cannot read the argument {cause.override!r}: {str(cause).splitlines()[0]}"
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match.group(1), command)
    if isinstance(error, ConfigCompositionException | InterpolationResolutionError | OmegaConfBaseException):
        return text.split("\n\n")[0]
    return None


def compose_unresolved(name: str) -> dict[str, Any]:
    """The default config of a command with what must be given still missing."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with _own_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        plain = OmegaConf.to_container(hydra_compose(name), resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check_targets(
    config: Any, bases: tuple[type, ...], where: str, packages: tuple[str, ...] = ("synthgen",), sources: bool = False
) -> None:
    """Makes sure that a config from a checkpoint or run folder can only build what is expected.

    Every `_target_` must name a class that is defined in synthgen and derived from one of `bases`, or one of a short
    list of networks of diffusers. A prefix alone would not do: `synthgen.x.os.system` begins well, too.

    Args:
        config: Plain dicts, lists and scalars.
        bases: Allowed base classes.
        where: File that the config came from, for the message.
        packages: Packages whose classes are allowed.
        sources: Whether the functions of synthgen's modules of sources are, which a train config names.

    Raises:
        SynthgenError: A target that is not allowed, another of Hydra's special keys, or an interpolation.
    """
    if _settings_in(config, {}) > _MAX_SETTINGS:
        raise SynthgenError(f"{where}: found more than {_MAX_SETTINGS:,} settings, some of them within themselves")
    seen: set[int] = set()
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            if id(value) in seen:
                continue
            seen.add(id(value))
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, str) and key.startswith("_") and key.endswith("_") and key not in _HYDRA_KEYS:
                    raise SynthgenError(f"{where}: found the key {key!r}, which a checkpoint folder may not use")
            if "_target_" in value and not _allowed(value["_target_"], bases, packages, sources):
                raise SynthgenError(
                    f"{where}: _target_ {value['_target_']!r} is not a class of synthgen that a checkpoint folder may "
                    "build; nothing was run"
                )
            waiting.extend(inner for key, inner in value.items() if key != "_target_")
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str) and "${" in value:
            raise SynthgenError(f"{where}: found the interpolation {value!r}, which a checkpoint folder may not use")


def _unknown_choice(error: Any) -> str:
    group, _, choice = error.missing_cfg_file.rpartition("/")
    options = [f"{group.partition('/')[2]}/{option}".lstrip("/") for option in error.options or []]
    top = group.partition("/")[0]
    wanted = error.missing_cfg_file.partition("/")[2] or choice
    options = _choices(top) or options
    # "argn" is 'table/argn', however little of it that is.
    meant = [option for option in options if option.endswith(f"/{wanted}")] or options
    return f"{top}={wanted}: unknown choice: {nearest(meant[0] if len(meant) == 1 else wanted, meant)}"


def _choices(group: str) -> list[str]:
    folder = config_folder() / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("[!_]*.yaml"))


def _unknown_key(key: str, command: str) -> str:
    keys = list(_flatten(compose_unresolved(command)))
    if key in keys:
        return f"unknown key {key!r}: what was chosen as {key.partition('.')[0]!r} has no such setting"
    # A key that is only known within a group that another choice would bring is still close to one of this one.
    return f"unknown key {key!r}: {nearest(key, keys, what='keys are')}"


def _flatten(config: Any, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")


def _check_arguments(config: Any) -> None:
    """Holds plain arguments against the types that synthgen's constructors declare: a text where a number is due."""
    values = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for value in values:
        _check_arguments(value)
    target = config.get("_target_") if isinstance(config, dict) else None
    if not isinstance(target, str) or not target.startswith("synthgen."):
        return
    module, _, name = target.rpartition(".")
    for argument, parameter in signature(getattr(import_module(module), name)).parameters.items():
        kind = parameter.annotation
        declared = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        if argument in config and all(one in _PLAIN for one in declared):
            value = config[argument]
            if type(value) not in declared and not (type(value) is int and float in declared):
                expected = " or ".join("null" if one is type(None) else one.__name__ for one in declared)
                raise SynthgenError(f"{name}: {argument}: found {value!r}, expected {expected}")


def _settings_in(value: Any, known: dict[int, int]) -> int:
    """Number of values in a config as it is when YAML's aliases are written out; a few lines can make it astronomic."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = _MAX_SETTINGS + 1  # what holds itself never ends
        known[id(value)] = 1 + sum(
            _settings_in(inner, known) for inner in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]


_SOURCES = (".sources", ".delimited")


def _allowed(target: Any, bases: tuple[type, ...], packages: tuple[str, ...], sources: bool) -> bool:
    if not isinstance(target, str):
        return False
    if target in _FOREIGN_TARGETS:
        return True
    # Importing is running: only modules of these packages are ever imported here.
    if target.partition(".")[0] not in packages:
        return False
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except (ImportError, ValueError):
        return False
    home = str(getattr(found, "__module__", ""))
    if isinstance(found, type):
        # Other packages gather classes of their own in modules that people import them from.
        own = home == module if module.startswith("synthgen") else home.partition(".")[0] in packages
        return own and issubclass(found, bases)
    is_source = module.startswith("synthgen.data.") and module.endswith(_SOURCES) and home == module
    return sources and is_source and isfunction(found) and not name.startswith("_")


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
