"""What the authors of SegViT v1 and DToP count of their networks, as their papers print it."""

from segsuite.core.sizes import Size
from segsuite.measure.cost import Cost, total
from segsuite.methods.segvit.closed_form import AttentionToMaskForm, VisionTransformerForm


def upsampling(classes: int, size: Size) -> Cost:
    """A bilinear resize of a map of scores to `size`."""
    return Cost(resize=4 * classes * size[0] * size[1])


def query_mixing(classes: int, size: Size) -> Cost:
    """SegViT v1's product of K class probabilities with K masks at full resolution."""
    return Cost(macs=classes**2 * size[0] * size[1])


def staged_blocks(vit: VisionTransformerForm, tokens: list[tuple[int, int]]) -> Cost:
    """Blocks under pruning: (blocks, alive tokens) for each stretch."""
    if sum(blocks for blocks, _ in tokens) != vit.depth:
        raise ValueError(f"stretches of {tokens} do not add up to {vit.depth} blocks")
    return total(blocks * vit.block(alive) for blocks, alive in tokens)


def dtop(
    vit: VisionTransformerForm, head: AttentionToMaskForm, size: Size, *, kept: dict[int, int]
) -> Cost:
    """DToP as its authors count: every head that prunes, the final head, and two resizes.

    Args:
        kept: tokens that stay alive after each pruning head, by the block it stands after.
    """
    patches = (size[0] // vit.patch) * (size[1] // vit.patch)
    starts, alive = [0, *kept, vit.depth], [patches, *kept.values()]
    stretches = [(end - start, n) for start, end, n in zip(starts, starts[1:], alive, strict=False)]
    return (
        vit.embedding(patches)
        + staged_blocks(vit, stretches)
        + total(head.single(seen) for seen in alive)
        + 2 * upsampling(head.classes, size)
    )


def segvit_v1(vit: VisionTransformerForm, head: AttentionToMaskForm, size: Size) -> Cost:
    """SegViT v1 as its authors count: the cascade, the mixing of queries, and two resizes."""
    patches = (size[0] // vit.patch) * (size[1] // vit.patch)
    return (
        vit.backbone(patches)
        + head.cascade(patches)
        + query_mixing(head.classes, size)
        + 2 * upsampling(head.classes, size)
    )
