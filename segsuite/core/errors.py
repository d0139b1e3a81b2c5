"""The errors that users see: each says what was got, what was expected and what to type.

The entry points print them as one paragraph without a traceback; everything else is a defect of
ours and keeps its traceback.
"""

import difflib
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence


class SegsuiteError(Exception):
    """A mistake in what was asked for, not in the suite."""


class ConfigError(SegsuiteError):
    """A config key or value that no constructor takes, or values that do not fit together."""


class DataError(SegsuiteError):
    """A data set that is missing, incomplete or corrupt."""


class CheckpointError(SegsuiteError):
    """A checkpoint or weight file that is missing, half-written or of another network."""


class DivergedError(SegsuiteError):
    """A training whose losses, gradients or weights are no longer finite."""


class MissingExtra(SegsuiteError):
    """An optional package that is not installed.

    What pip finds under the suite's own name is somebody else's, hence its folder.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; in the suite's folder type: pip install -e '.[{extra}]'"
        )


def exit_code(work: Callable[[], None]) -> int:
    """Does the work of a script, and ends as the entry points do.

    0; 2 with one paragraph on stderr after a mistake, a full disk or a folder that is not ours; 130
    after Ctrl-C.
    """
    try:
        work()
    except (SegsuiteError, OSError) as error:
        print(f"segsuite: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("segsuite: interrupted; to go on, type the same command again", file=sys.stderr)
        return 130
    return 0


def raised_in(error: BaseException | None, *packages: str, ours: tuple[str, ...] = ()) -> bool:
    """Whether those packages ("torch."), or what they use themselves, raised it.

    What they call in turn, of the suite or of `ours`, is not theirs.
    """
    frames = [] if error is None else [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        name = f"{frame.f_globals.get('__name__', '')}."
        if name.startswith(packages):
            return True
        if name.startswith(("segsuite.", *ours)):
            return False
    return False


def first_of(items: Sequence[str], separator: str = ", ", *, shown: int = 10) -> str:
    """The first few, and how many more there are: one line, however much is amiss."""
    rest = len(items) - shown
    return separator.join([*items[:shown], *([f"{rest:,} more"] if rest > 0 else [])])


def did_you_mean(word: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """ "; did you mean `x`?" for the nearest known word, or "; known: a, b" when none is near.

    Args:
        word: what was typed, whatever YAML made of it.
        cutoff: how like it a word must be, in 0..1.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=cutoff)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known: {', '.join(known)}" if known else ""
