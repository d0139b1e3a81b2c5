"""The nearest rows of a table, exactly."""

import logging
from typing import Literal

import torch
from torch import Tensor

_AT_ONCE = 2**20
"""Distances held at once: 4 MB in float32."""

Search = Literal["auto", "faiss", "torch"]


@torch.no_grad()
def nearest(queries: Tensor, table: Tensor, k: int, *, search: Search = "torch") -> Tensor:
    """(N, k) int64: the k nearest rows of the table, the nearest first; no gradients.

    Both searches are exhaustive and give the same rows, up to distances that tie within rounding.
    `auto` is faiss on a CPU, where it is the faster one, and torch on a GPU, whose tensors would be
    brought to the CPU and back.

    Shapes: queries (N, d), table (C, d)
    """
    if search == "faiss" or (search == "auto" and not queries.is_cuda):
        return _by_faiss(queries, table, k)
    squares = table.square().sum(1)
    rows = queries.new_empty(len(queries), k, dtype=torch.int64)
    step = max(_AT_ONCE // len(table), 1)
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        # |x|^2 is the same for all rows.
        distances = torch.addmm(squares, queries[part], table.T, alpha=-2)
        rows[part] = distances.topk(k, dim=1, largest=False).indices
    return rows


def _by_faiss(queries: Tensor, table: Tensor, k: int) -> Tensor:
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells of every library it tries
    import faiss

    index = faiss.IndexFlatL2(table.shape[1])
    index.add(table.float().cpu().contiguous().numpy())
    _, rows = index.search(queries.float().cpu().contiguous().numpy(), k)
    return torch.from_numpy(rows).to(queries.device)
