"""Mutated checkpoint folders and tables: whatever they hold, the answer is a result or one clear error, and soon."""

import atexit
import copy
import json
import random
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

import synthgen
from synthgen.data.tables.delimited import read_csv
from synthgen.data.tables.module import TableDataModule
from synthgen.errors import SynthgenError

FIXTURES = Path(__file__).parents[1] / "fixtures"
SECONDS = 30
SMALL = {
    "table/argn": ["network.width=8"],
    "table/copula": [],
    "table/ctgan": ["network.widths=[8]", "model.latent=4"],
    "table/tabsyn": ["network.autoencoder.width=8", "network.denoiser.width=8", "model.steps=2"],
    "table/tvae": ["network.widths=[8]", "model.latent=4"],
    "image/flow": ["network.width=4", "model.steps=2"],
    "image/ddpm": ["network.width=4", "model.steps=2"],
    "image/dcgan": ["network.generator.width=4", "network.discriminator.width=4"],
    "image/vae": ["network.encoder.width=4", "network.decoder.width=4", "model.latent=2"],
}
NASTY = [
    *(None, True, False, 0, 1, -1, 2, 7, 10**9, 10**30, -(10**30), 0.0, -0.5, 0.5, 1e-300, 1e308, float("nan")),
    *(
        float("inf"),
        "",
        "x",
        "nan",
        "1e999",
        "../..",
        "é" * 50,
        "_target_",
        "${x}",
        [],
        {},
        [[]],
        [1, "a", None],
        {"a": {}},
    ),
]


@contextmanager
def time_limit() -> Iterator[None]:
    """A hang is a failure that names itself."""

    def too_long(*_: Any) -> None:
        raise AssertionError(f"no answer after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@cache
def checkpoints() -> list[tuple[Path, dict[str, Any]]]:
    """A small checkpoint folder of every family, and options that make its sampling quick.

    Those of both diffusion models are the ones that older versions wrote; the others are made here, once a process.
    """
    made = Path(tempfile.mkdtemp(prefix="fuzz"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    people = pd.read_csv(BytesIO(b"\n".join(table_lines(random.Random(0)))))
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8)
    found = [(FIXTURES / f"format-1-{kind}", {"steps": 2}) for kind in ("table", "images")]
    for model, overrides in SMALL.items():
        options = {} if model.startswith("table") else {"labels": np.arange(40) % 2}
        overrides = [*overrides, "callbacks=none", "trainer=cpu"]
        real = people if model.startswith("table") else images
        fitted = synthgen.fit(real, model, max_samples=40, batch_size=20, overrides=overrides, **options)
        folder = fitted.save(made / model.replace("/", "-"))
        (folder / "manifest.json").unlink()  # its hashes would tell of every mutation before anything is read
        found.append((folder, {}))
    return found


def fuzz_checkpoint(seed: int, folder: Path) -> str:
    """One mutated checkpoint folder: loaded and sampled. "refused" or "worked"; anything else is raised."""
    draws = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    sound, options = draws.choice(checkpoints())
    shutil.copytree(sound, folder)
    for _ in range(draws.choice([1, 1, 1, 2, 5])):
        draws.choice([mutate_bytes, mutate_codec, mutate_codec, mutate_config, mutate_header])(folder, draws)
    with time_limit(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            synthgen.load(folder).sample(3, **options)
        except SynthgenError:
            return "refused"
    return "worked"


def mutate_bytes(folder: Path, draws: random.Random) -> None:
    file = draws.choice(sorted(folder.iterdir()))
    file.write_bytes(mutated_bytes(file.read_bytes(), draws))


def mutate_codec(folder: Path, draws: random.Random) -> None:
    mutate_tree(folder / "codec.json", draws, json.loads, json.dumps)


def mutate_config(folder: Path, draws: random.Random) -> None:
    mutate_tree(folder / "config.yaml", draws, yaml.safe_load, yaml.safe_dump)


def mutate_header(folder: Path, draws: random.Random) -> None:
    """The JSON header of the weights, its length kept right."""
    file = folder / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError:
        return
    text = json.dumps(mutated_tree(header, draws)).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def mutate_tree(file: Path, draws: random.Random, load: Callable[[str], Any], dump: Callable[[Any], str]) -> None:
    try:
        content = load(file.read_text())
    except (ValueError, yaml.YAMLError):
        return  # an earlier mutation has left nothing to read
    file.write_text(dump(mutated_tree(content, draws)))


def mutated_tree(tree: Any, draws: random.Random) -> Any:
    """One value replaced, taken away, doubled or swapped with another."""
    tree = copy.deepcopy(tree)
    places = list(walk(tree))
    if not places:
        return draws.choice(NASTY)
    holder, key = draws.choice(places)
    action = draws.randrange(4)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, list):
        holder.append(holder[key])
    elif action == 2:
        other, place = draws.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            holder[key] = copy.deepcopy(other[place])
    else:
        holder[key] = draws.choice(NASTY)
    return tree


def walk(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a tree of dicts and lists."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from walk(tree[key])


def mutated_bytes(content: bytes, draws: random.Random) -> bytes:
    """Bits flipped, bytes taken away, put in, or doubled; or the end cut off."""
    if not content:
        return draws.randbytes(20)
    low = draws.randrange(len(content))
    high = min(len(content), low + draws.choice([1, 2, 10, 1000]))
    part = content[low:high]
    return {
        0: content[:low] + bytes([content[low] ^ 1 << draws.randrange(8)]) + content[low + 1 :],
        1: content[:low] + content[high:],
        2: content[:low] + draws.randbytes(len(part)) + content[high:],
        3: content[:high] + part + content[high:],
        4: content[:low],
    }[draws.randrange(5)]


CELLS = [
    *(b"", b"NA", b"nan", b"inf", b"-inf", b"1e999", b"0", b"007", b"-0", b"1e-320", b"9" * 30, b"9" * 400, b"True"),
    *(
        b"1,5",
        b'"',
        b'""',
        b'"a\nb"',
        b"\xff\xfe",
        b"\x00",
        "é".encode(),
        b"2024-01-01",
        b"?",
        b" 3 ",
        b"=1+1",
        b"0x10",
    ),
]


def fuzz_csv(seed: int, folder: Path) -> str:
    """One mutated table: read, its codec fitted, encoded and decoded."""
    draws = random.Random(seed)
    lines = table_lines(draws)
    for _ in range(draws.choice([1, 2, 5, 20])):
        row = draws.randrange(len(lines))
        cells = lines[row].split(b",")
        place = draws.randrange(len(cells))
        action = draws.randrange(8)
        if action < 4:
            cells[place] = draws.choice(CELLS)
        elif action == 4:
            cells.insert(place, draws.choice(CELLS))
        elif action == 5:
            del cells[place]
        elif action == 6:
            for i in range(1, len(lines)):  # a whole column of one odd cell
                parts = lines[i].split(b",")
                parts[min(place, len(parts) - 1)] = draws.choice(CELLS[:14])
                lines[i] = b",".join(parts)
            continue
        else:
            lines = [mutated_bytes(lines[row], draws) if i == row else line for i, line in enumerate(lines)]
            continue
        lines[row] = b",".join(cells)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "x.csv"
    content = draws.choice([b"\n", b"\n", b"\n", b"\r\n", b"\r"]).join(lines)
    file.write_bytes(mutated_bytes(content, draws) if draws.random() < 0.2 else content)
    with time_limit(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = TableDataModule(read_csv, str(file), target=draws.choice([None, "income"]))
            data.load()
            for part in (data.train, data.validation, data.holdout):
                if part is not None:
                    decoded = data.codec.decode(data.codec.encode(part))
                    assert list(decoded.columns) == list(part.columns)
                    assert len(decoded) == len(part)
            stored = json.loads(json.dumps(data.codec.to_dict()))
            type(data.codec).from_dict(stored)
            assert data.fingerprint
        except SynthgenError:
            return "refused"
    return "worked"


def table_lines(draws: random.Random) -> list[bytes]:
    """A table of 80 rows with every kind of column."""
    rows = [
        [draws.randrange(90), round(draws.gauss(70, 12), 1), draws.choice(["Bonn", "Köln", ""]), draws.random() < 0.5]
        for _ in range(80)
    ]
    frame = pd.DataFrame(rows, columns=["age", "weight", "town", "member"])
    frame["income"] = ["<=50K" if age < 40 else ">50K" for age in frame["age"]]
    return frame.to_csv(index=False).encode().splitlines()
