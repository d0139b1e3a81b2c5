"""The house keeps its shape: imports flow one way, files stay small, doors stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "segsuite"
FLOORS = [
    {"core", "ops"},
    {"nn", "metrics", "data"},
    {"runtime"},
    {"engine"},
    {"methods"},
    {"bench", "exporting", "search", "reporting"},
]
"""From the ground up; doors (files directly in segsuite/) stand on top of everything."""
MAX_LINES = 400
SOURCES = sorted(PACKAGE.rglob("*.py"))


def floor(room: str) -> int:
    for level, rooms in enumerate(FLOORS):
        if room in rooms:
            return level
    raise AssertionError(f"segsuite/{room}/ stands on no floor: add it to FLOORS")


def imported(path: Path) -> set[tuple[str, ...]]:
    """The modules of segsuite that a file imports, anywhere in it, as parts after `segsuite`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import; write the whole path"
            names = [node.module]
        found |= {tuple(n.split(".")[1:]) for n in names if n.split(".")[0] == "segsuite"}
    return {parts for parts in found if parts}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_flow_one_way(path):
    room = path.relative_to(PACKAGE).parts
    if len(room) == 1:
        return  # a door may import everything
    for parts in imported(path):
        assert len(parts) > 1 or (PACKAGE / parts[0]).is_dir(), (
            f"{path} imports the door {parts[0]}"
        )
        theirs, ours = floor(parts[0]), floor(room[0])
        assert theirs <= ours, f"{path} imports upward: segsuite.{'.'.join(parts)}"
        if theirs == ours and room[0] in {"nn", "metrics", "data"}:
            assert parts[0] == room[0], f"{path} imports sideways: segsuite.{'.'.join(parts)}"
        if room[0] == "methods" and parts[0] == "methods":
            assert parts[1] == room[1], f"{path}: methods never import each other"


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


DOORS = sorted(p for p in PACKAGE.glob("*.py") if p.name != "__init__.py")


@pytest.mark.parametrize("door", DOORS, ids=lambda p: p.stem)
def test_doors_import_nothing_heavy_until_they_run(door):
    code = (
        f"import sys, segsuite.{door.stem}; "
        "heavy = ('torch', 'lightning', 'matplotlib', 'timm', 'wandb'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
