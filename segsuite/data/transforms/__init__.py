"""From stored images to what a network is trained on or asked about."""

from segsuite.data.transforms.evaluation import AsItIs, FitWithin, ResizeTo
from segsuite.data.transforms.photometric import ColorJitter, PhotometricDistortion
from segsuite.data.transforms.training import ScaleCropFlip

__all__ = [
    "AsItIs",
    "ColorJitter",
    "FitWithin",
    "PhotometricDistortion",
    "ResizeTo",
    "ScaleCropFlip",
]
