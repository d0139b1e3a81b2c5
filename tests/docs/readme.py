"""What README.md says, taken apart."""

import re
import shlex
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S))
"""What stands between single backticks."""


def commands() -> list[str]:
    """Every command of the suite in a code block, without what stands before `&&` and without the
    launcher of its processes."""
    lines = [line.split("&&")[-1].strip() for block in BLOCKS for line in block.splitlines()]
    lines = [re.sub(r"^torchrun .* -m (?=segsuite)", "python -m ", line) for line in lines]
    lines = [re.sub(r"^sbatch .* 'srun (.*)'$", r"\1", line) for line in lines]
    return [line for line in lines if line.startswith("python -m segsuite.")]


def parsed(command: str) -> tuple[str, list[str]]:
    """The entry point and its arguments, as a shell would split them."""
    _, _, module, *arguments = shlex.split(command)
    return module.removeprefix("segsuite."), arguments


def marked(name: str) -> str:
    """The code block between `<!-- name -->` and `<!-- /name -->`."""
    (block,) = re.findall(rf"<!-- {name} -->\n```\n(.*?)\n```\n<!-- /{name} -->", TEXT, re.DOTALL)
    return block


def choices() -> dict[str, list[str]]:
    """The patterns of options by group, from the table of what can be chosen."""
    rows = re.findall(r"^\| `([\w/]+)=` \|[^|]*\|(.*)\|$", TEXT, re.MULTILINE)
    return {
        group: [p for name in re.findall(r"`([^`]+)`", told) for p in _expanded(name)]
        for group, told in rows
    }


def _expanded(name: str) -> list[str]:
    """`a_{b,c}` as a_b and a_c; `...` as any beginning."""
    parts = re.split(r"\{([^}]*)\}", name.replace("...", "*"))
    options = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*options)]
