"""What is known of data sets from earlier runs: one JSON file for each, in the user's cache.

What is remembered saves time and is never needed: a file that is broken, of an older form or of
another state of the data is as none, and a folder that cannot be written to is only warned of.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from segsuite.core.files import written_whole

logger = logging.getLogger(__name__)


class Memory:
    """What is known under a key.

    Args:
        kind: what is known; the name of its folder.
        form: number of the form of what is remembered; what was remembered in other forms is
            forgotten.
        key: text that names the data of which it is known.
        folder: folder of the file; None for one in the user's cache.
    """

    def __init__(self, kind: str, key: str, *, form: int, folder: Path | None = None) -> None:
        self._form = form
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self._path = (folder or cache / "segsuite" / kind) / f"{digest}.json"

    def recall(self, stamp: Any = None) -> Any:
        """What was remembered with that stamp; None when there is nothing of the kind."""
        try:
            content = json.loads(self._path.read_text())
            if (content["form"], content["stamp"]) == (self._form, stamp):
                return content["known"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def remember(self, known: Any, stamp: Any = None) -> None:
        """Writes plain types, instead of what was there, with a stamp that `recall` must repeat."""
        content = {"form": self._form, "stamp": stamp, "known": known}
        try:
            with written_whole(self._path) as beside:
                beside.write_text(json.dumps(content))
        except OSError as error:  # a home that cannot be written to costs time, not correctness
            logger.warning("what is known cannot be remembered in %s: %s", self._path, error)
