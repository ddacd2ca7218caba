"""Starts real processes that run one synthgen command each, with a fault in them.

Python and PyTorch take seconds to start. This process imports everything once, computes nothing, and forks a process a
command. It reads one JSON request a line, and answers each with one line.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

PRELOADED = (
    *("synthgen.commands", "synthgen.run", "synthgen.api", "synthgen.callbacks.progress", "hydra", "rich.console"),
    *("synthgen.commands.train", "synthgen.training.csv_logger", "synthgen.models.table.tabdiff"),
    *("synthgen.models.image.edm", "statsmodels.datasets", "sklearn.datasets", "synthgen.networks.unet"),
    *("synthgen.callbacks.evaluation", "synthgen.callbacks.fidelity", "synthgen.callbacks.collapse"),
    *("synthgen.callbacks.memorisation", "synthgen.callbacks.samples", "matplotlib.backends.backend_agg"),
)

# Where a fault can strike: the function that is about to be called.
POINTS = {
    "begin": "synthgen.training.run_folder:RunFolder.begin",
    "step": "synthgen.models.base:Model.training_step",
    "validation": "synthgen.models.base:Model.validation_step",
    "write": "synthgen.training.checkpoint_io:seal",
    "rename": "synthgen.training.checkpoints:sync",
    "export": "synthgen.synthesizer:write_manifest",
    "record": "synthgen.training.run_folder:RunFolder.record",
}


def main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        else:
            pid = os.fork()
            if pid == 0:
                run(request)
            print(pid, flush=True)


def run(request: dict[str, Any]) -> None:
    """The child: one command, from its arguments to its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request["log"] + "." + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    code = 70
    try:
        if request["threads"]:
            importlib.import_module("torch").set_num_threads(request["threads"])
        if request["fault"]:
            arm(**request["fault"])
        importlib.import_module("synthgen.commands").main(request["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        importlib.import_module("traceback").print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def arm(point: str, count: int, number: int = signal.SIGKILL, times: int = 1, poison: bool = False) -> None:
    """Makes the `count`-th call at a point send this process a signal, or its batch hold no numbers."""
    module_name, _, path = POINTS[point].partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), [0]

    def struck(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == count:
            if poison:
                for tensor in arguments[1].values():
                    if tensor.is_floating_point():
                        tensor.fill_(float("nan"))
            elif point == "write" and number == signal.SIGKILL:
                # What is on the disk when a machine dies in the middle of writing.
                file = Path(arguments[0])
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
                os.kill(os.getpid(), number)
            else:
                for _ in range(times):
                    os.kill(os.getpid(), number)
        return original(*arguments, **named)

    setattr(owner, name, struck)


if __name__ == "__main__":
    main()
