"""What all tests share: one thread each, and a cache folder of their own."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: -n 2 keeps two cores busy as it is

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keeps what is remembered of verified files, and cached weights, out of the user's home."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    with pytest.MonkeyPatch.context() as patch:
        if "MPLCONFIGDIR" not in os.environ:  # its list of fonts takes many seconds to make
            patch.setenv("MPLCONFIGDIR", str(home / "matplotlib"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
