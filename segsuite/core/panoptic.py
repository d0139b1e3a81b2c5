"""Numbers that panoptic maps are made with, the same for tensors and for numpy.

Places and probabilities are rounded to fixed steps before anything is compared or summed. All
further arithmetic is then exact, so that a CPU, a GPU and numpy agree, whatever their order.
"""

LABEL_DIVISOR = 1000
"""An instance's id is class * LABEL_DIVISOR + number, the number from 1 on."""

STEPS_PER_PIXEL = 2**16
"""Votes for a centre are rounded to this part of a pixel: finer than float32 is beyond pixel 128.

A vote, a centre below 2^15 and their products then fit into the 53 bits of float64.
"""

FARTHEST = 2**17
"""Votes are kept within this many pixels of the image's first one."""

STEPS_OF_ONE = 2**24
"""Probabilities are rounded to this part of 1, and summed as whole numbers."""
