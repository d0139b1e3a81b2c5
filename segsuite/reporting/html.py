"""The page: one file that holds its data, style, script and the library of its plots.

Plots by Plotly (MIT): kept well for a decade, error bars, heat maps and zooming within one file of
4.8 MB that its Python package brings along, so that nothing is fetched and nothing of it is kept
here. Smaller libraries would have to be copied into this repository.
"""

import json
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from plotly.offline import get_plotlyjs

_SCRIPTS = ("state.js", "table.js", "plots.js", "panels.js")
_ENDS = re.compile("[<>&\u2028\u2029]")
"""Characters that could end a script's element, or a line of it; JSON may write their numbers."""


def page(data: Mapping[str, Any]) -> str:
    """The page of `page_data`."""
    parts = {
        "title": escape(str(data["title"])),
        "style": _own("style.css"),
        "data": embedded(data),
        "plotly": get_plotlyjs(),
        "script": "\n".join(_own(name) for name in _SCRIPTS),
    }
    # In one pass, so that what is put in is never searched for places itself.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _own("page.html"))


def embedded(data: Any) -> str:
    """JSON that may stand within a script's element, whatever its texts hold."""
    plain = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _ENDS.sub(lambda letter: f"\\u{ord(letter[0]):04x}", plain)


def _own(name: str) -> str:
    return files("segsuite.reporting").joinpath("page", name).read_text(encoding="utf-8")
