"""From stored pictures to what a network is trained on or asked about."""

from segsuite.data.transforms.evaluation import AsItIs, FitWithin, ResizeTo
from segsuite.data.transforms.photometric import PhotometricDistortion
from segsuite.data.transforms.training import ScaleCropFlip

__all__ = ["AsItIs", "FitWithin", "PhotometricDistortion", "ResizeTo", "ScaleCropFlip"]
