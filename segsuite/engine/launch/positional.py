"""Paths that stand by themselves on a command line, as a shell's globs give them."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from segsuite.engine.launch.typed import FLAGS, quoted


def paths_as_list(arguments: Sequence[str], key: str) -> list[str]:
    """The arguments with paths that stand by themselves as one `key=[...]` at the end.

    What is there on disk is a path, even with an equals sign in it, as the folders of jobs have.
    """
    paths, others = [], []
    for before, argument in pairwise(["", *arguments]):
        (paths if _is_path(argument, before) else others).append(argument)
    return [*others, f"{key}=[{','.join(map(quoted, paths))}]"] if paths else others


def _is_path(argument: str, before: str) -> bool:
    if argument.startswith(("-", "~")) or before in FLAGS:
        return False
    return "=" not in argument or Path(argument).exists()
