"""The official evaluator of Cityscapes (package cityscapesscripts), where it is installed."""

import json
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


def official_panoptic(truth: Path, results: Path) -> dict:
    """Its panoptic scores of two JSON files, with PNG files in folders of their names.

    In one process: it would start one for each core. Its rules are panopticapi's, line by line.
    """
    name = "cityscapesscripts.evaluation.evalPanopticSemanticLabeling"
    evaluator: Any = pytest.importorskip(name, exc_type=ImportError)
    truth_entries, result_entries = (json.loads(path.read_text()) for path in (truth, results))
    categories = {c["id"]: c for c in truth_entries["categories"]}
    found = {entry["image_id"]: entry for entry in result_entries["annotations"]}
    pairs = [(entry, found[entry["image_id"]]) for entry in truth_entries["annotations"]]
    folders = (str(path.with_suffix("")) for path in (truth, results))
    counts = evaluator.pq_compute_single_core(0, pairs, *folders, categories)
    return evaluator.average_pq(counts, categories)


def official_instance_ap(
    pairs: list[tuple[Path, Path]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict:
    """Its instance scores for pairs of a text file of results and an *_instanceIds.png.

    Args:
        folder: where the masks are.
    """
    name = "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling"
    evaluator: Any = pytest.importorskip(name, exc_type=ImportError)
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    # What it leaves behind in JSON holds NumPy's integers, which NumPy 2.4 makes it end with.
    monkeypatch.setattr(evaluator, "writeDict2JSON", lambda *_: None)
    for key, value in {
        "quiet": True,
        "JSONOutput": False,
        "predictionPath": str(folder.resolve()),
        "gtInstancesFile": str(folder / "instances.json"),
    }.items():
        monkeypatch.setattr(evaluator.args, key, value)
    predictions, labels = zip(*((str(a), str(b)) for a, b in pairs), strict=True)
    return evaluator.evaluateImgLists(list(predictions), list(labels), evaluator.args)
