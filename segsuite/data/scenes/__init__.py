"""Street scenes that are drawn, with labels and instance ids: a data set without a download.

Every image depends on (seed, split, index, size, number of classes) alone, on every machine:
random numbers come from raw bits of a fixed generator, geometry uses only + - * / and comparisons,
which IEEE arithmetic fixes, and colours are whole numbers. Nothing of it may use sin, exp, float
sums or a library's rasteriser, whose last digits differ between machines and versions.
"""

from segsuite.data.scenes.reader import Scenes

__all__ = ["Scenes"]
