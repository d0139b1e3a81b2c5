"""The house keeps its shape: imports flow one way, files stay small, entry points stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "segsuite"
FLOORS = [
    {"core"},
    {"ops"},
    {"nn", "metrics", "data"},
    {"measure", "runtime"},
    {"engine"},
    {"methods"},
    {"exporting"},
    {"bench", "searching"},
    {"choosing", "reporting"},
]
"""From the ground up: a package imports those below it, and none beside it. Entry points (files
directly in segsuite/) stand on top of everything."""
ENGINE = ["launch", "loggers", "inference", "callbacks"]
"""The same within segsuite/engine/, whose own files stand on top of these."""
MAX_LINES = 400
SOURCES = sorted(PACKAGE.rglob("*.py"))


Module = tuple[str, ...]
"""Parts of an import path after `segsuite`."""


def module_of(path: Path, package: Path) -> Module:
    parts = path.relative_to(package).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path, package: Path) -> set[Module]:
    """The modules of segsuite that a file imports, anywhere in it."""
    modules: set[Module] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import; write the whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *parts = name.split(".")
            if first == "segsuite" and parts:
                modules.add(_existing(tuple(parts), package))
    return modules - {()}


def _existing(parts: Module, package: Path) -> Module:
    """The module that a name is in: its own, or the one that defines it."""
    if package.joinpath(*parts).is_dir() or package.joinpath(*parts).with_suffix(".py").exists():
        return parts
    return parts[:-1]


def graph(package: Path) -> dict[Module, set[Module]]:
    """Every module and what it imports; a package's own file is left out where it re-exports."""
    paths = sorted(package.rglob("*.py"))
    return {module_of(path, package): imported(path, package) for path in paths}


def misdirected(path: Path, package: Path) -> list[str]:
    """What a file imports that is above it or beside it."""
    module = module_of(path, package)
    directed = {other: _direction(module, other) for other in sorted(imported(path, package))}
    return [f"imports {why}: {'.'.join(other)}" for other, why in directed.items() if why]


def _direction(module: Module, other: Module) -> str | None:
    if len(module) == 1 and module[0] not in set().union(*FLOORS):
        return None  # an entry point may import everything
    if len(other) == 1 and other[0] not in set().union(*FLOORS):
        return "an entry point"
    ours, theirs = floor(module[0]), floor(other[0])
    if theirs > ours:
        return "upward"
    if theirs == ours and module[0] != other[0]:
        return "sideways"
    if module[0] == other[0] == "methods" and module[1:2] != other[1:2]:
        return "another method"
    if module[0] == other[0] == "engine" and _room(other) > _room(module):
        return "upward"
    return None


def floor(package: str) -> int:
    for level, packages in enumerate(FLOORS):
        if package in packages:
            return level
    raise AssertionError(f"segsuite/{package}/ stands on no floor: add it to FLOORS")


def _room(module: Module) -> int:
    return ENGINE.index(module[1]) if module[1:] and module[1] in ENGINE else len(ENGINE)


def circles(modules: dict[Module, set[Module]]) -> list[list[Module]]:
    """One way around each group of modules that import each other, however far around."""
    from graphlib import CycleError, TopologicalSorter

    try:
        list(TopologicalSorter(modules).static_order())
    except CycleError as error:
        return [error.args[1]]
    return []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_flow_one_way(path):
    assert misdirected(path, PACKAGE) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(graph(PACKAGE)) == []


@pytest.mark.parametrize(
    "where, content, said",
    [
        ("bench/report.py", "from segsuite.measure import latency", ""),
        ("ops/upsample.py", "from segsuite.nn.blocks import X", "imports upward: nn.blocks"),
        ("bench/report.py", "import segsuite.searching.graph", "imports sideways: searching.graph"),
        ("engine/launch/typed.py", "from segsuite.engine.task import Task", "imports upward"),
        ("methods/essnet/a.py", "from segsuite.methods.mobile.b import X", "another method"),
        ("core/errors.py", "from segsuite.train import main", "imports an entry point"),
    ],
)
def test_a_wrong_import_is_found(tmp_path, where, content, said):
    """A house of two files, in which one import is wrong."""
    rooms = ("measure/latency.py", "nn/blocks.py", "searching/graph.py", "engine/task.py")
    for name in (*rooms, "methods/mobile/b.py", "train.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from segsuite.measure.cost import X" if "latency" in name else "")
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / where).write_text(content)
    found = misdirected(tmp_path / where, tmp_path)
    assert [said in fault for fault in found] == ([True] if said else [])
    assert circles(graph(tmp_path)) == []


def test_a_circle_on_one_floor_is_found(tmp_path):
    """Of three modules, one of which imports the next only when it is called."""
    for name, following in (("cost", "latency"), ("latency", "tokens"), ("tokens", "cost")):
        path = tmp_path / "measure" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"def f():\n    from segsuite.measure.{following} import X")
    (circle,) = circles(graph(tmp_path))
    assert {module[-1] for module in circle} == {"cost", "latency", "tokens"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small_and_say_what_they_are(path):
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES, f"{path} has more than {MAX_LINES} lines: split it"
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{path} needs a docstring that says what it is"
    assert path.name not in {"utils.py", "helpers.py", "misc.py", "common.py"}


def test_only_build_calls_hydras_instantiate():
    users = [
        p for p in SOURCES if "hydra.utils" in p.read_text() and "instantiate" in p.read_text()
    ]
    assert users == [PACKAGE / "core" / "build.py"]


ENTRY_POINTS = sorted(p for p in PACKAGE.glob("*.py") if p.name != "__init__.py")


@pytest.mark.parametrize("entry_point", ENTRY_POINTS, ids=lambda p: p.stem)
def test_entry_points_import_nothing_heavy_until_they_run(entry_point):
    code = (
        f"import sys, segsuite.{entry_point.stem}; "
        "heavy = ('torch', 'lightning', 'matplotlib', 'timm', 'wandb'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
