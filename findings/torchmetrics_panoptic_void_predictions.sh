#!/usr/bin/env bash
# torchmetrics 1.9.0: PanopticQuality leaves out every pixel that a prediction leaves without a class,
# so that whoever answers least is right most.
#
# Panoptic quality (Kirillov et al., 2019) leaves out what has no class in the truth; what is void in
# a prediction alone stays in the union, and a segment of which less than half was answered is missed.
# Post-processing voids small or doubtful segments, so that such pixels are common. torchmetrics takes
# them with allow_unknown_preds_category=True, "to be ignored in the metric computation", and ignores
# them in the truth's segments too: 40 % of a segment, answered, is the whole of it. hotcoco 1.3.0,
# which computes what the official evaluator does, finds it missed; of 60 % it has an overlap of 0.6.
# segsuite has a metric of its own (segsuite/metrics/panoptic_quality.py), tested against the official.
#
#   bash findings/torchmetrics_panoptic_void_predictions.sh   exits with 0 while the two differ so
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 torch==2.14.1 hotcoco==1.3.0 numpy==2.4.6 pillow==13.0.0
cat > "$folder/both.py" <<'PYTHON'
"""One image of 10 x 2 pixels, all of it one segment of stuff; its first rows alone are answered."""

import json
import sys
import warnings
from pathlib import Path

import hotcoco
import numpy as np
import torch
import torchmetrics
from PIL import Image
from torchmetrics.detection import PanopticQuality

warnings.simplefilter("ignore")
root, rows, found = Path(sys.argv[1]), 10, {}
print("torchmetrics", torchmetrics.__version__, "hotcoco 1.3.0")


def written(name, answered):
    ids = np.zeros((rows, 2, 3), np.uint8)
    ids[:answered, :, 0] = 7
    folder = root / name
    folder.mkdir(exist_ok=True)
    Image.fromarray(ids).save(folder / "1.png")
    segment = {"id": 7, "category_id": 1, "area": 2 * answered, "iscrowd": 0, "bbox": [0, 0, 2, answered]}
    table = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": rows, "width": 2}],
        "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": [segment]}],
        "categories": [{"id": 1, "name": "sky", "supercategory": "sky", "isthing": 0, "color": [0, 0, 9]}],
    }
    path = root / f"{name}.json"
    path.write_text(json.dumps(table))
    return str(path)


for answered in (4, 6):
    truth = torch.zeros(1, rows, 2, 2, dtype=torch.long)
    truth[..., 0] = 1
    answer = truth.clone()
    answer[:, answered:, :, 0] = 255  # no category
    metric = PanopticQuality(things={0}, stuffs={1}, allow_unknown_preds_category=True)
    ours = float(metric(answer, truth))
    judge = hotcoco.panoptic.PanopticEval(written("truth", rows), written("answer", answered))
    judge.evaluate()
    official = judge.results()["All"]["pq"]
    print(f"{answered} of {rows} rows answered: torchmetrics {ours:.2f}, hotcoco {official:.2f}")
    found[answered] = (round(ours, 2), round(official, 2))
sys.exit(found != {4: (1.0, 0.0), 6: (1.0, 0.6)})
PYTHON
if "$folder/venv/bin/python" "$folder/both.py" "$folder"; then
    echo "as described"
else
    echo "they no longer differ as described" && exit 1
fi
