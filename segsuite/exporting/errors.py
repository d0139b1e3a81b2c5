"""What can go wrong on the way out, and packages that may be absent."""

from importlib import import_module
from types import ModuleType

from segsuite.core.errors import MissingExtra, SegsuiteError

_OF_ITS_OWN = {
    "litert": "its exporter asks for torch below 2.15, so make an environment of its own: "
    "python3 -m venv litert-env && litert-env/bin/pip install -e '.[litert,export]'"
}
"""Extras that the usual environment cannot hold."""


class ExportError(SegsuiteError):
    """A network that a runtime cannot take, or whose file gives other scores there."""


class MissingEnvironment(MissingExtra):
    """A package that is not installed, and cannot be beside the others."""

    def __init__(self, package: str, how: str) -> None:
        SegsuiteError.__init__(self, f"{package} is not installed; {how}")


def needed(module: str, extra: str) -> ModuleType:
    """The module of an optional package.

    Raises:
        MissingExtra: the package, or one that it needs, is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        if extra in _OF_ITS_OWN:
            raise MissingEnvironment(package, _OF_ITS_OWN[extra]) from error
        raise MissingExtra(package, extra) from error
