"""Sliding windows one image and one window at a time, as mmsegmentation defines them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def slide_by_loops(network, image: Tensor, window: tuple[int, int], stride: tuple[int, int]):
    """(K, h, w): average scores of an image at least as large as the window, in one piece."""
    height, width = image.shape[-2:]
    rows = max(height - window[0] + stride[0] - 1, 0) // stride[0] + 1
    columns = max(width - window[1] + stride[1] - 1, 0) // stride[1] + 1
    total, count = 0, torch.zeros(height, width)
    for row in range(rows):
        for column in range(columns):
            bottom = min(row * stride[0] + window[0], height)
            right = min(column * stride[1] + window[1], width)
            top, left = max(bottom - window[0], 0), max(right - window[1], 0)
            part = image[None, :, top:bottom, left:right]
            scores = network.predict(part).scores((bottom - top, right - left))[0]
            total = total + F.pad(scores, (left, width - right, top, height - bottom))
            count[top:bottom, left:right] += 1
    return total / count
