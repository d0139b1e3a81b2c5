"""Panoptic targets and post-processing by loops over pixels and instances, word for word."""

import math
from collections import Counter

import numpy as np


def targets_by_loops(labels, instances, *, things, sigma, small_area, small_weight):
    """Heat (H, W), offsets (2, H, W), centre, offset and semantic weights (H, W) of one image."""
    height, width = labels.shape
    heat = np.zeros((height, width), np.float32)
    offsets = np.zeros((2, height, width), np.float32)
    centre_weight = np.zeros((height, width), np.float32)
    offset_weight = np.zeros((height, width), np.float32)
    semantic_weight = np.ones((height, width), np.float32)
    members = {}
    for y in range(height):
        for x in range(width):
            label, instance = int(labels[y, x]), int(instances[y, x])
            if label in things and instance > 0:
                members.setdefault(instance, []).append((y, x))
                offset_weight[y, x] = 1
            crowd = label in things and instance == 0
            if label >= 0 and not crowd:
                centre_weight[y, x] = 1
    for pixels in members.values():
        mean_y = sum(y for y, _ in pixels) / len(pixels)
        mean_x = sum(x for _, x in pixels) / len(pixels)
        for y, x in pixels:
            offsets[0, y, x] = mean_y - y
            offsets[1, y, x] = mean_x - x
            if len(pixels) < small_area:
                semantic_weight[y, x] = small_weight
        middle_y, middle_x = round(mean_y), round(mean_x)  # halves to the even one
        for y in range(middle_y - 3 * sigma - 1, middle_y + 3 * sigma + 2):
            for x in range(middle_x - 3 * sigma - 1, middle_x + 3 * sigma + 2):
                if 0 <= y < height and 0 <= x < width:
                    squared = (y - middle_y) ** 2 + (x - middle_x) ** 2
                    heat[y, x] = max(heat[y, x], np.float32(math.exp(-squared / (2 * sigma**2))))
    return heat, offsets, centre_weight, offset_weight, semantic_weight


def centres_by_loops(heat, *, threshold, kernel, count):
    """[(y, x, score)] of one heat map (H, W), the highest first, then in raster order."""
    height, width = heat.shape
    reach = kernel // 2
    peaks = []
    for y in range(height):
        for x in range(width):
            window = heat[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
            if heat[y, x] > threshold and heat[y, x] == window.max():
                peaks.append((y, x, float(heat[y, x])))
    return sorted(peaks, key=lambda peak: -peak[2])[:count]  # sorting keeps the order of equals


def maps_by_loops(labels, offsets, centres, *, things, stuff_area, probabilities):
    """Labels, instances, and [(class, area, score)] by centre, of one image.

    Distances are of whole numbers, in 1/65536 of a pixel: exact, however large.
    """
    height, width = labels.shape
    result = np.full((height, width), -1, np.int64)
    instances = np.zeros((height, width), np.int32)
    areas = Counter(int(label) for label in labels.flat)
    members = [[] for _ in centres]
    for y in range(height):
        for x in range(width):
            label = int(labels[y, x])
            if label in things:
                if centres:
                    members[_nearest(y, x, offsets[:, y, x], centres)].append((y, x))
            elif label >= 0 and areas[label] >= stuff_area:
                result[y, x] = label
    table = []
    for slot, pixels in enumerate(members):
        if not pixels:
            table.append((-1, 0, 0.0))
            continue
        votes = Counter(int(labels[p]) for p in pixels)
        most = min(label for label, n in votes.items() if n == max(votes.values()))
        for p in pixels:
            result[p] = most
            instances[p] = most * 1000 + slot + 1
        steps = sum(round(float(probabilities[p]) * 2**24) for p in pixels if labels[p] == most)
        mean = steps / (len(pixels) * 2**24)
        table.append((most, len(pixels), mean * centres[slot][2]))
    return result, instances, table


def _nearest(y, x, offset, centres):
    voted = [
        _steps(np.float32(place) + np.float32(step))
        for place, step in zip((y, x), offset, strict=True)
    ]
    distances = [
        (voted[0] - cy * 65536) ** 2 + (voted[1] - cx * 65536) ** 2 for cy, cx, _ in centres
    ]
    return distances.index(min(distances))


def _steps(place):
    """A place in 1/65536 of a pixel; at most 2^17 pixels away, and 0 where it is no number."""
    place = 0.0 if math.isnan(place) else min(max(float(place), -(2**17)), 2**17)
    return round(place * 65536)
