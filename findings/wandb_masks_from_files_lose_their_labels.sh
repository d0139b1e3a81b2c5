#!/usr/bin/env bash
# wandb 0.31.0: a mask that is given as a file is logged without the names of its classes.
#
# `wandb.Image(..., masks={"truth": {"path": FILE, "class_labels": {...}}})` takes both keys and says
# nothing, but the labels go nowhere: neither the image's JSON nor the run's config has them, and the
# dashboard shows numbers. The same labels given beside `mask_data`, an array, are kept in the run's
# config. segsuite gives arrays (segsuite/engine/loggers/masks.py). All of it runs offline.
#
#   bash findings/wandb_masks_from_files_lose_their_labels.sh   exits with 0 while that is so
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q wandb==0.31.0 numpy==2.4.6 pillow==12.0.0
cat > "$folder/masks.py" <<'PYTHON'
import json
import sys

import numpy as np
import wandb
from PIL import Image

folder, mask, labels = sys.argv[1], np.zeros((4, 4), np.uint8), {0: "road"}
Image.fromarray(mask).save(f"{folder}/mask.png")
given = {"a file": {"path": f"{folder}/mask.png"}, "an array": {"mask_data": mask}}
print("wandb", wandb.__version__)
kept = {}
for name, own in given.items():
    run = wandb.init(mode="offline", dir=folder, project="p", reinit="create_new",
                     settings=wandb.Settings(silent=True))
    masks = {"truth": {**own, "class_labels": labels}}
    image = wandb.Image(np.zeros((4, 4, 3), np.uint8), masks=masks)
    run.log({"image": image})
    said = json.dumps([dict(run.config), run._config._items, image.to_json(run)], default=str)
    kept[name] = "road" in said
    run.finish()
    print(f"labels beside {name}:", "kept" if kept[name] else "lost")
same = kept == {"a file": False, "an array": True}
print("as described" if same else "it is otherwise now")
raise SystemExit(not same)
PYTHON
"$folder/venv/bin/python" "$folder/masks.py" "$folder"
