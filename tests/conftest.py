"""What all tests share: one thread each, a cache folder of their own, and what saves time."""

import copy
import functools
import gc
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: -n 2 keeps two cores busy as it is

import omegaconf
import pytest
import yaml


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked `gpu` where there is none."""
    if item.get_closest_marker("gpu"):
        import torch  # not for tests that do without

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keeps what is remembered of verified files, and cached weights, out of the user's home."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    with pytest.MonkeyPatch.context() as patch:
        if "MPLCONFIGDIR" not in os.environ:  # its list of fonts takes many seconds to make
            patch.setenv("MPLCONFIGDIR", str(home / "matplotlib"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _rarely_collected():
    """Configs are made of very many objects, and each collection looks at all that torch made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def _parsed_once():
    """Hydra reads thirty YAML files and ANTLR some hundred interpolations for each config.

    That is a third of the time that a config takes, of which the tests make a thousand.
    """
    parse, parsed = yaml.load, {}

    def load(stream: Any, Loader: type) -> Any:
        text = stream if isinstance(stream, str | bytes) else stream.read()
        # OmegaConf makes a class of its own for each file.
        key = text, Loader.__module__, Loader.__qualname__
        if key not in parsed:
            parsed[key] = parse(text, Loader=Loader)
        return copy.deepcopy(parsed[key])

    interpolation = functools.lru_cache(maxsize=5000)(omegaconf.grammar_parser.parse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", load)
        patch.setattr(omegaconf.base, "parse", interpolation)
        patch.setattr(omegaconf._utils, "parse", interpolation)
        yield
