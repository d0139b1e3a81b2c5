"""Attention whose queries and keys are narrower than its values, without the matrix of all pairs.

PyTorch's kernels that never hold the matrix want queries, keys and values of one width, or of
widths that are multiples of something; otherwise scaled_dot_product_attention falls back, silently,
to one that holds it: 4.3 GB for the 32,768 cells of a map at 1/8 of 1024x2048. Zeros behind queries
and keys change no product, so they are put there. An operation of its own, so that what is counted
is what the network needs, and not what a kernel wants.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_STEP = 8
"""Widths that kernels on GPUs take in half precision are multiples of it."""


def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0) -> Tensor:
    """softmax(scale * query @ key.T) @ value.

    Shapes: query (B, M, D), key (B, N, D), value (B, N, E) -> (B, M, E)
    """
    if torch.compiler.is_exporting():  # other runtimes have kernels of their own
        return (scale * query @ key.transpose(1, 2)).softmax(-1) @ value
    tensors = (query, key, value)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _padded(*tensors, scale)
    return _attention(*tensors, scale)


@torch.library.custom_op("segsuite::attention", mutates_args=())
def _attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    # Nobody else's memory: an operation may not hand back what it was given, nor a view of it.
    return _padded(query, key, value, scale).contiguous()


@_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return value.new_empty(*query.shape[:-1], value.shape[-1])


def _padded(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """By a kernel that goes through the pairs in blocks."""
    width, deep = value.shape[-1], query.shape[-1]
    if query.device.type == "cpu":
        wide = narrow = max(width, deep)
    else:
        wide, narrow = (-(-channels // _STEP) * _STEP for channels in (width, deep))
    # One head each: kernels take four dimensions, and fall back where there are three.
    query, key = (F.pad(x, (0, narrow - x.shape[-1])).unsqueeze(1) for x in (query, key))
    value = F.pad(value, (0, wide - width)).unsqueeze(1)
    answer = F.scaled_dot_product_attention(query, key, value, scale=scale)
    return answer.squeeze(1)[..., :width]
