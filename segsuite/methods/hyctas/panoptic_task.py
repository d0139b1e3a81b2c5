"""Panoptic HyCTAS' task: the common one, with drop path that rises as training goes on."""

from segsuite.engine.panoptic_task import PanopticTask
from segsuite.methods.hyctas.task import HybridTask


class PanopticHybridTask(HybridTask, PanopticTask):
    """Training and evaluation of a `PanopticHybridSegmenter`."""
