"""Targets made from truth and put through the post-processing give the truth's segments back."""

import json
from collections import Counter
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core.labels import IGNORE
from segsuite.data.scenes import Scenes
from segsuite.ops.centre_list import centre_list
from segsuite.ops.panoptic_grouping import panoptic_maps
from segsuite.ops.panoptic_targets import panoptic_targets

COCO = Path(__file__).parents[3] / "shared/data/coco_samples"
STUFF = 2**31
"""Stands for the one segment of a stuff class among instance ids."""


def segments(labels, instances, things):
    """Keys of all pixels: class * 2^32 + id; -1 for void, id 0 for crowd."""
    ids = np.where(np.isin(labels, sorted(things)), instances, STUFF)
    return np.where(labels < 0, -1, labels.astype(np.int64) * 2**32 + ids).ravel().tolist()


def quality(pairs, things):
    """PQ of all classes and of things, of pairs of truth and prediction, (labels, instances) each.

    Without the rule of crowds: predictions hold nothing there.
    """
    overlap, segments_of = Counter(), Counter()
    for truth, prediction in pairs:
        seen, given = segments(*truth, things), segments(*prediction, things)
        seen_areas, given_areas, both = (
            Counter(seen),
            Counter(given),
            Counter(zip(seen, given, strict=True)),
        )
        wanted = [key for key in seen_areas if key >= 0 and key % 2**32]
        segments_of.update(key >> 32 for key in [*wanted, *(k for k in given_areas if k >= 0)])
        for (key, ours), pixels in both.items():
            if key in wanted and key >> 32 == ours >> 32:
                union = seen_areas[key] + given_areas[ours] - pixels - both[-1, ours]
                overlap[key >> 32] += pixels / union if pixels / union > 0.5 else 0.0
    # TP + FP / 2 + FN / 2 is half of the number of segments in both.
    scores = {c: overlap[c] / (count / 2) for c, count in segments_of.items()}
    return mean(scores.values()), mean(s for c, s in scores.items() if c in things)


def back_again(labels, instances, things, *, sigma, kernel, stuff_area):
    """The panoptic maps of perfect answers: crowd is void, as it has no instances."""
    labels, instances = torch.from_numpy(labels)[None].long(), torch.from_numpy(instances)[None]
    targets = panoptic_targets(labels, instances, things=things, sigma=sigma)
    crowd = torch.isin(labels, torch.tensor(sorted(things))) & (instances == 0)
    maps = panoptic_maps(
        labels.masked_fill(crowd, IGNORE),
        targets.offsets,
        *centre_list(targets.heat, kernel=kernel),
        things=things,
        stuff_area=stuff_area,
    )
    return maps.labels[0].numpy(), maps.instances[0].numpy()


@pytest.mark.parametrize("stuff_area, least", [(0, 0.99), (2048, 0.6)])
def test_scenes(stuff_area, least):
    """2048 pixels are for images of 1024x2048: here they are much of a stuff class."""
    reader = Scenes(size=(128, 256), num_classes=19, lengths={"train": 12})
    things = reader.own_classes.things
    scenes = reader.open(
        "train", root=None, classes=reader.own_classes, instances=True, strict=True
    )
    pairs = []
    for number in range(len(scenes)):
        truth = scenes[number].label.numpy(), scenes[number].instances.numpy()
        asked = {"sigma": 10, "kernel": 7, "stuff_area": stuff_area}
        pairs.append((truth, back_again(*truth, things, **asked)))
    all_, of_things = quality(pairs, things)
    assert all_ > least and of_things > 0.99
    assert (all_ < 0.9) == (stuff_area > 0), "small stuff became void"


@pytest.mark.skipif(not COCO.is_dir(), reason="needs two images of COCO")
def test_real_images_of_coco():
    about = json.loads((COCO / "panoptic_examples.json").read_text())
    rank = {c["id"]: k for k, c in enumerate(sorted(about["categories"], key=lambda c: c["id"]))}
    things = frozenset(rank[c["id"]] for c in about["categories"] if c["isthing"])
    pairs = []
    for entry in about["annotations"]:
        image = Image.open(COCO / "panoptic_examples" / entry["file_name"])
        ids = np.asarray(image).astype(np.int64) @ np.array([1, 256, 65536])
        labels, instances = np.full(ids.shape, IGNORE), np.zeros(ids.shape, np.int32)
        for segment in entry["segments_info"]:
            inside, number = ids == segment["id"], rank[segment["category_id"]]
            labels[inside] = number
            if number in things and not segment["iscrowd"]:
                instances[inside] = segment["id"]
        truth = labels, instances
        asked = {"sigma": 8, "kernel": 41, "stuff_area": 4096}
        pairs.append((truth, back_again(*truth, things, **asked)))
    assert quality(pairs, things) == pytest.approx((1, 1), abs=1e-4)
