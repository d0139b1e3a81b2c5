"""What can go wrong on the way out, and packages that may be absent."""

from importlib import import_module
from types import ModuleType

from segsuite.core.errors import MissingExtra, SegsuiteError


class ExportError(SegsuiteError):
    """A network that a runtime cannot take, or that answers otherwise there."""


def needed(module: str, extra: str) -> ModuleType:
    """The module of an optional package.

    Raises:
        MissingExtra: the package, or one that it needs, is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or module).partition(".")[0], extra) from error
