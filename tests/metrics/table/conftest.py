import json
import subprocess
from itertools import count
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def sdmetrics(tmp_path):
    """Asks SDMetrics, in its own environment: see asked_of_sdmetrics.py."""
    python = ROOT / ".venv-peers/sdmetrics/bin/python"
    if not python.exists():
        pytest.skip("no .venv-peers/sdmetrics: scripts/bench_peers sdmetrics makes it")
    asked = count()

    def ask(question, real, synthetic, kinds):
        folder = tmp_path / str(next(asked))
        folder.mkdir()
        real.to_parquet(folder / "real.parquet")
        synthetic.to_parquet(folder / "synthetic.parquet")
        (folder / "kinds.json").write_text(json.dumps(kinds))
        files = [folder / name for name in ("real.parquet", "synthetic.parquet", "kinds.json")]
        program = Path(__file__).with_name("asked_of_sdmetrics.py")
        done = subprocess.run([python, program, question, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture
def kinds():
    """Of a schema's columns, as SDMetrics names them."""
    return lambda schema: {column.name: "numerical" if column.numerical else "categorical" for column in schema}
