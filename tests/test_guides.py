"""Every command of the guides runs as it is written, one after the other, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDES = sorted((Path(__file__).parents[1] / "docs/guides").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_commands_run_as_written(tmp_path, guide):
    blocks = re.findall(r"```bash\n(.*?)```", guide.read_text(), flags=re.DOTALL)
    assert blocks
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_pictures_and_pages_that_a_guide_names_are_there(guide):
    for target in re.findall(r"\]\(([^)#:]+)\)", guide.read_text()):
        assert (guide.parent / target).resolve().exists(), target
