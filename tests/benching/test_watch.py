"""What others do is told from what a trial does, by the kernel's own counts."""

import subprocess
import sys
import time

from scripts.benching.watch import Watch

BURN = "import time; ends = time.process_time() + {}\nwhile time.process_time() < ends: pass"


def test_work_of_another_session_spoils():
    other = subprocess.Popen([sys.executable, "-c", BURN.format(60)], start_new_session=True)
    try:
        time.sleep(0.3)
        with Watch() as watch:
            time.sleep(2)
    finally:
        other.kill()
        other.wait()
    assert watch.others > 0.2
    assert watch.spoiled


def test_own_work_spoils_nothing_in_this_process_or_in_workers_that_live_or_have_ended():
    ticks = iter([100.0, 100.0 + 0.9])  # what the three below burn together
    worker = None
    try:
        with Watch(busy=lambda: next(ticks)) as watch:
            exec(BURN.format("0.3"), {})
            subprocess.run([sys.executable, "-c", BURN.format("0.3")], check=True)
            worker = subprocess.Popen(
                [sys.executable, "-c", BURN.format("0.5") + "\nprint(flush=True); time.sleep(60)"],
                stdout=subprocess.PIPE,
            )
            worker.stdout.readline()
    finally:
        worker.kill()
        worker.wait()
    assert watch.others == 0
    assert not watch.spoiled


def test_a_moment_is_not_judged_by_the_grain_of_the_clock():
    ticks = iter([100.0, 100.02])
    with Watch(busy=lambda: next(ticks)) as watch:
        pass
    assert not watch.spoiled
