"""Panoptic-DeepLab: instance heads on any backbone with feature maps (Cheng et al., 2020)."""
