"""SegViT with token sharing and token pruning; its closed form is known once this is imported."""

from segsuite.methods.segvit import closed_form as _registers_itself  # noqa: F401
