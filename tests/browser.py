"""A page as Chromium shows it: what it became, and what it complained of."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary is installed")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing is reached, what is tried is still logged
]


def opened(page: Path, folder: Path) -> tuple[str, list[str], list[str]]:
    """The page's elements after its scripts ran, its console's lines, and the addresses that it asked for."""
    assert CHROMIUM is not None
    log = folder / "network.json"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    started = [line for line in log.read_text(errors="replace").splitlines() if '"initiator":' in line]
    own = [
        line for line in started if '"initiator":"not an origin"' not in line
    ]  # without what the browser asks itself
    return done.stdout, console, [url for line in own for url in re.findall(r'"url":"((?:https?|wss?):[^"]+)"', line)]
