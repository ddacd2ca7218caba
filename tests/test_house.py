"""Who may import whom: the picture in docs/architecture.md, held against every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).parents[1] / "synthgen"

GROUND = {"layout", "errors", "files"}
MIDDLE = GROUND | {"configuration", "data", "diffusion", "networks", "models", "metrics", "training", "callbacks"}
MAY_IMPORT = {
    "": set(),
    "errors": set(),
    "layout": {"errors"},
    "files": {"errors"},
    "configuration": {"errors"},
    "diffusion": {"layout", "errors"},
    "networks": {"layout", "errors"},
    "metrics": {"networks", "layout", "errors"},
    "data": GROUND,
    "models": {"diffusion", "networks", "layout", "errors"},
    "training": GROUND | {"models", "data"},
    "callbacks": GROUND | {"models", "data", "metrics"},
    "reports": GROUND | {"metrics"},
    "checkpoint_folder": MIDDLE | {""},
    "synthesizer": MIDDLE | {"", "checkpoint_folder"},
    "run": MIDDLE | {"", "synthesizer"},
    "api": MIDDLE | {"", "synthesizer", "run"},
    "evaluation": GROUND | {"data", "metrics", "reports"},
    "commands": MIDDLE | {"", "synthesizer", "run", "api", "evaluation", "reports"},
    "__main__": {"commands"},
}
WITHOUT_LIGHTNING = ("", "errors", "layout", "files", "configuration", "diffusion", "networks", "metrics", "reports")


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(file): file.read_text() for file in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(tree: ast.AST, *, when_loaded: bool) -> Iterator[str]:
    """Names that a file imports: wherever they are written, or only those that loading it imports."""
    for node in ast.iter_child_nodes(tree):
        if when_loaded and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(node)):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides which room it leads to"
            for name in node.names:
                longer = f"{node.module}.{name.name}"
                yield longer if longer in SOURCES else str(node.module)
        yield from imports(node, when_loaded=when_loaded)


def own_imports(source: str, *, when_loaded: bool) -> list[str]:
    return [name for name in imports(ast.parse(source), when_loaded=when_loaded) if name.split(".")[0] == "synthgen"]


def forbidden(module: str, source: str) -> list[str]:
    here = room(module)
    return [
        name
        for name in own_imports(source, when_loaded=False)
        if room(name) != here and room(name) not in MAY_IMPORT[here]
    ]


def test_every_room_is_in_the_picture():
    assert {room(module) for module in SOURCES} <= set(MAY_IMPORT)


def test_every_module_imports_only_what_its_room_may():
    found = {module: forbidden(module, source) for module, source in SOURCES.items()}
    assert {module: names for module, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("synthgen.models.image.x", "from synthgen.data.module import DataModule"),
        ("synthgen.layout", "def f():\n    import synthgen.files"),
        ("synthgen.networks.x", "from synthgen import files"),
        ("synthgen.reports.x", "if TYPE_CHECKING:\n    from synthgen.data.tables.codec import TableCodec"),
        ("synthgen.synthesizer", "from synthgen.api import fit"),
        ("synthgen.metrics.table.x", "class A:\n    def f(self):\n        from synthgen.training.fit import fit_model"),
    ],
)
def test_an_import_upwards_is_seen(module, source):
    assert forbidden(module, source)


def test_no_module_imports_itself_in_a_circle():
    graph = {
        module: {name for name in own_imports(source, when_loaded=True) if name != module}
        for module, source in SOURCES.items()
    }
    list(TopologicalSorter(graph).static_order())
    closed = {**graph, "synthgen.errors": {"synthgen.layout"}}
    with pytest.raises(CycleError):
        list(TopologicalSorter(closed).static_order())


def test_rooms_below_models_know_no_lightning():
    lightning = {"pytorch_lightning", "lightning", "lightning_fabric"}
    for module, source in SOURCES.items():
        named = {name.split(".")[0] for name in imports(ast.parse(source), when_loaded=False)}
        assert not named & lightning or room(module) not in WITHOUT_LIGHTNING, module


def test_importing_synthgen_is_quick_and_loads_nothing_heavy():
    program = (
        "import sys, time\n"
        "begun = time.perf_counter()\n"
        "import synthgen\n"
        "seconds = time.perf_counter() - begun\n"
        "print(seconds, *{name.partition('.')[0] for name in sys.modules})"
    )
    seconds, loaded = [], set()
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        first, *names = ended.stdout.split()
        seconds.append(float(first))
        loaded |= set(names)
    assert "synthgen" in loaded
    assert not loaded & {"torch", "pytorch_lightning", "hydra", "pandas", "numpy"}
    assert median(seconds) < 0.3


def test_public_names_are_there_and_others_are_not():
    import synthgen

    for name in synthgen.__all__:
        assert getattr(synthgen, name) is not None
        assert name in dir(synthgen)
    with pytest.raises(AttributeError, match="nothing"):
        _ = synthgen.nothing
