import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.errors import SynthgenError
from synthgen.files import existing_file, replacing, replacing_folder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write_folder(target, content):
    with replacing_folder(target) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text(content)


def write_half(path, error):
    path.write_text("half")
    raise error


def test_replacing_writes_a_new_file_in_new_folders(tmp_path):
    with replacing(tmp_path / "a" / "b" / "file.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a" / "b" / "file.txt").exists()
        assert partial.parent == tmp_path / "a" / "b", "a rename is one move only within one file system"
    assert (tmp_path / "a" / "b" / "file.txt").read_text() == "new"
    assert names(tmp_path / "a" / "b") == ["file.txt"]


def test_replacing_swaps_the_old_file_for_the_new(tmp_path):
    (tmp_path / "file").write_text("old")
    with replacing(tmp_path / "file") as partial:
        partial.write_text("new")
        assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_replacing_keeps_the_old_file_when_the_block_raises(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with pytest.raises(error), replacing(tmp_path / "file") as partial:
        write_half(partial, error)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_replacing_leaves_nothing_when_the_block_raises_before_it_writes(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "file"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_replacing_folder_replaces_all_that_was_there(tmp_path):
    target = tmp_path / "deep" / "folder"
    write_folder(target, "old")
    (target / "left over").write_text("old")
    write_folder(target, "new")
    assert names(target) == ["inner"]
    assert (target / "inner" / "file").read_text() == "new"
    assert names(target.parent) == ["folder"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_replacing_folder_keeps_the_old_folder_when_the_block_raises(tmp_path, error):
    write_folder(tmp_path / "folder", "old")
    with pytest.raises(error), replacing_folder(tmp_path / "folder") as partial:
        write_half(partial / "file", error)
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_replacing_folder_keeps_the_old_folder_when_the_last_move_fails(tmp_path):
    write_folder(tmp_path / "folder", "old")
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "folder") as partial:
        shutil.rmtree(partial)
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_replacing_folder_recovers_what_a_crash_between_its_two_moves_left(tmp_path):
    write_folder(tmp_path / "folder", "old")
    (tmp_path / "folder").rename(tmp_path / ".folder.old")
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "folder"):
        raise RuntimeError
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_replacing_folder_starts_empty_after_a_crash(tmp_path):
    leftover = tmp_path / f".folder.{platform.node()}-{2**22 + 1}-ab.partial"  # of a process that cannot be
    leftover.mkdir()
    (leftover / "half").write_text("")
    write_folder(tmp_path / "folder", "new")
    assert names(tmp_path / "folder") == ["inner"]
    assert names(tmp_path) == ["folder"]


def test_long_names_in_any_script_are_written(tmp_path):
    target = tmp_path / ("я" * 120)  # 240 bytes
    with replacing(target) as partial:
        partial.write_text("whole")
    assert names(tmp_path) == [target.name]


def test_what_a_living_process_writes_is_left_to_it(tmp_path):
    others = tmp_path / f".file.{platform.node()}-{os.getppid()}-ab.partial"
    elsewhere = tmp_path / ".file.other-node-1-ab.partial"
    for file in (others, elsewhere):
        file.write_text("half")
    with replacing(tmp_path / "file") as partial:
        partial.write_text("whole")
    assert names(tmp_path) == sorted([others.name, elsewhere.name, "file"])


WRITER = """
import sys, time
from pathlib import Path
from synthgen.files import replacing, replacing_folder
target, word = Path(sys.argv[1]), sys.argv[2]
for _ in range(40):
    with replacing(target / "file") as partial, partial.open("w") as file:
        for _ in range(50):
            file.write(word)
            file.flush()
    with replacing_folder(target / "folder") as partial:
        (partial / "one").write_text(word)
        (partial / "two").write_text(word)
"""


def test_processes_that_write_to_one_place_never_mix_and_leave_nothing_behind(tmp_path):
    words = ["a", "b", "c"]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), word]) for word in words]
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "file").exists():
            assert (tmp_path / "file").read_text() in [50 * word for word in words]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "folder" / "one").read_text() == (tmp_path / "folder" / "two").read_text()


def test_existing_file_finds_a_file_and_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "people.csv").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert existing_file("~/people.csv") == tmp_path / "people.csv"
    assert existing_file(str(tmp_path / "people.csv")) == tmp_path / "people.csv"


def test_existing_file_names_the_nearest_beside_it(tmp_path):
    for name in ("people.csv", "towns.csv"):
        (tmp_path / name).write_text("")
    with pytest.raises(SynthgenError, match=r"poeple\.csv: no such file; did you mean 'people\.csv'\?"):
        existing_file(str(tmp_path / "poeple.csv"))
    with pytest.raises(SynthgenError, match=r"no such file; beside it are 'people\.csv', 'towns\.csv'|'towns\.csv'"):
        existing_file(str(tmp_path / "zzz"))


def test_existing_file_without_any_folder_says_only_that_it_is_missing(tmp_path):
    with pytest.raises(SynthgenError) as raised:
        existing_file(str(tmp_path / "nowhere" / "file"))
    assert str(raised.value) == f"{tmp_path / 'nowhere' / 'file'}: no such file"


def test_existing_file_refuses_a_folder(tmp_path):
    with pytest.raises(SynthgenError, match="found a folder, expected a file"):
        existing_file(str(Path(tmp_path)))
