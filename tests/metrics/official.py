"""The official evaluator of Cityscapes (package cityscapesscripts), where it is installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

_MODULE = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"


def official_scores(pairs: list[tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch) -> dict:
    """Its results for pairs of a predicted and a *_labelIds.png, instance ids beside the latter."""
    evaluator: Any = pytest.importorskip(_MODULE, exc_type=ImportError)
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # which NumPy 2.4 no longer has
    monkeypatch.setattr(evaluator.args, "quiet", True)
    monkeypatch.setattr(evaluator.args, "JSONOutput", False)
    predictions, labels = zip(*((str(a), str(b)) for a, b in pairs), strict=True)
    return evaluator.evaluateImgLists(list(predictions), list(labels), evaluator.args)
