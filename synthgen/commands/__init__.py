"""The command line: `synthgen train`, `sample`, `evaluate` and others, each a Hydra application over `configs/`."""

import os
import sys
import warnings
from importlib import import_module

from synthgen.errors import nearest

__all__ = ["COMMANDS", "main", "run_command"]

COMMANDS = ("train", "sample", "evaluate", "compare", "inspect", "verify")


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits: 0 when it worked, 2 on bad input, 128 + n when signal n stopped it (130: Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(run_command(arguments))


def run_command(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    from synthgen.commands.overview import print_command_help, print_overview

    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print_overview(COMMANDS)
        return 0
    command, *rest = arguments
    if command == "--version":
        from synthgen import __version__

        print(__version__)
        return 0
    if command not in COMMANDS:
        return _fail(f"unknown command {command!r}: {nearest(command, COMMANDS, what='commands are')}")
    if any(argument in ("--help", "-h") for argument in rest):
        print_command_help(command)
        return 0
    return _run_hydra(command, rest)


def _run_hydra(command: str, arguments: list[str]) -> int:
    import hydra
    from omegaconf import DictConfig

    from synthgen.commands.arguments import escape
    from synthgen.commands.messages import explain
    from synthgen.configuration import config_folder

    # Hydra then raises what goes wrong instead of printing it and exiting with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    warnings.showwarning = _print_warning
    failures: list[BaseException] = []
    started = sys.argv

    def task(config: DictConfig) -> None:
        if command == "train":  # further processes of a run are started with these words
            sys.argv = [started[0], command, *arguments]
        # Hydra would announce a failed job in words of its own.
        try:
            import_module(f"synthgen.commands.{command}").run(config)
        except (Exception, KeyboardInterrupt) as error:
            failures.append(error)

    try:
        sys.argv = [f"synthgen {command}", *escape(arguments)]
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=command)(task)()
        if failures:
            raise failures[0]
    except KeyboardInterrupt:
        return 130
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 1
    except Exception as error:
        message = explain(error, command)
        if message is None:
            raise
        return _fail(message)
    finally:
        sys.argv = started
    return 0


def _fail(message: str) -> int:
    print(f"synthgen: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _print_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Warnings of synthgen and its users' data are one line; those of other packages are for their developers."""
    if category is UserWarning:
        print(f"synthgen: warning: {message}", file=sys.stderr)
