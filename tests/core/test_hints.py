from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import pytest
import torch

from segsuite.core.hints import Above, Between, Falling, Rising, expected, fits, in_brackets

Factor = Annotated[float, Above(0)]


class Reader(Protocol):
    def open(self) -> None: ...


MADE = {"_target_": "some.Class"}


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, int),
        (1, float),
        (0, bool),
        ("x", str),
        ("3", str),  # what is typed for an argument that is text arrives as text
        ("a/b", str | Path),
        (None, int | None),
        ([1, 2], tuple[int, int]),
        ([1, 2, 3], tuple[int, ...]),
        ([], Sequence[int]),
        ([MADE], list[Reader]),
        ([1, 0.5], Sequence[int | float]),
        ({"a": 1}, Mapping[str, int]),
        (MADE, Reader),
        (MADE, Callable[..., int]),
        (MADE, int),  # an object of whatever type its maker says
        (0.1, float | torch.Tensor),
        ("kv", Literal["drop", "kv"]),
        ("x", Any),
        ("x", "A forward reference"),
        ("x", TypeVar("T")),
        (2, Annotated[int, "positive"]),
        (1, Annotated[int, Between(1)]),
        (None, Annotated[int, Between(1)] | None),
        (1, Annotated[float, Between(0, 1)]),
        (float("inf"), Annotated[float, Between(0, float("inf"))]),
        (2**63 - 1, int),
        ([0.5, 0.5], Annotated[tuple[Factor, Factor], Rising()]),
        ([2, 1], Annotated[tuple[int, int], Falling()] | None),
    ],
)
def test_what_fits(value, hint):
    assert fits(value, hint)


INTEGERS = "a list of 2 (a whole number; a whole number)"
PAIR = "a list of 2 (a number, above 0; a number, above 0), the least first"


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        ("1e-4", float, "a number"),
        (1e4, int, "a whole number"),
        ("yes", bool, "true or false"),
        (2, bool, "true or false"),
        (True, int, "a whole number"),
        (False, float, "a number"),
        ({"a": "b"}, Mapping[str, int], "a group of keys (each a whole number)"),
        (None, str, "text"),
        (3, str, "text"),
        (True, str | None, "text or null"),
        ([1], str, "text"),
        ({"a": 1}, str, "text"),
        ("none", int | None, "a whole number or null"),
        ([1, 2, 3], tuple[int, int], "a list of 2 (a whole number; a whole number)"),
        (["a"], Sequence[int], "a list (each a whole number)"),
        ("ab", Sequence[str], "a list (each text)"),
        (5, Mapping[str, int], "a group of keys (each a whole number)"),
        ([], Mapping[str, int], "a group of keys (each a whole number)"),
        ("none", Reader, "a group of keys whose _target_ makes a Reader"),
        (3, Callable[..., int], "a group of keys whose _target_ makes a Callable"),
        (1, Literal[True], "True"),
        ("c", Literal["a", 1] | Literal["1", "b"] | None, "a or 1 or b or null"),
        ("3", Annotated[int, "positive"], "a whole number"),
        (0, Annotated[int, Between(1)] | None, "a whole number, 1 or more or null"),
        (1.5, Annotated[float, Between(0, 1)], "a number, 0 to 1"),
        (2**63, int, "a whole number"),  # YAML's numbers have no end, torch's do
        (float("nan"), float, "a number"),
        (float("inf"), Annotated[float, Between(0)], "a number, 0 or more"),
        (0, Factor, "a number, above 0"),
        ([0.1], float | torch.Tensor, "a number or a group of keys whose _target_ makes a Tensor"),
        ([2.0, 0.5], Annotated[tuple[Factor, Factor], Rising()], PAIR),
        ([1, 2], Annotated[tuple[int, int], Falling()], f"{INTEGERS}, the largest first"),
    ],
)
def test_what_does_not_fit_and_what_would(value, hint, said):
    assert not fits(value, hint)
    assert expected(hint) == said


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        (96, tuple[int, int], "; type size=[96,96]"),
        ("onnx", Sequence[str], "; type size=[onnx]"),
        (6, Sequence[int] | None, "; type size=[6]"),
        ("192x384", tuple[int, int], "; type size=[192,384]"),
        ("192 × 384", tuple[int, int] | None, "; type size=[192,384]"),
        ("192x384", int, ""),
        ("abc", tuple[int, int], ""),
        ([6], Sequence[str], ""),
        (6, int, ""),
        ([2.0, 0.5], Annotated[tuple[float, float], Rising()], "; type size=[0.5,2.0]"),
    ],
)
def test_items_without_brackets_are_shown_with_them(value, hint, said):
    assert in_brackets("size", value, hint) == said
