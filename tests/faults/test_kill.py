"""kill −9 at any moment: the same command goes on and ends with the bytes of a run that nothing happened to."""

import shutil
import signal

import pytest

from tests.faults.workplace import FAMILIES, moments

# Before anything is written; at the first step; in a save, before and after its rename; in evaluation; while exporting,
# and between the export and the word that the run is finished.
MOMENTS = [
    {"point": "begin", "count": 1},
    {"point": "step", "count": 1},
    {"point": "write", "count": 2},
    {"point": "rename", "count": 2},
    {"point": "validation", "count": 1},
    {"point": "step", "count": 7},
    {"point": "export", "count": 1},
    {"point": "record", "count": 1},
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_is_killed_again_and_again_ends_equal(workplace, tmp_path, family):
    run = tmp_path / "run"
    for moment in MOMENTS:
        if moment["count"] > moments(family).get(moment["point"], 0):
            continue
        ended = workplace.run(workplace.command(family, run), fault=moment)
        assert ended.code == -signal.SIGKILL, (moment, ended.err)
    workplace.finish(family, run)
    shutil.rmtree(tmp_path)
