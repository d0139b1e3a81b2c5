#!/usr/bin/env bash
# Pillow 13.0.0 scrambles an uncompressed grey TIFF whose orientation tag swaps height and width (5
# to 8) when it is opened by its path, and reads the same bytes rightly from a file object.
#
# The size that such a file has once it is turned is already given to the code that maps the stored
# pixels into memory, so that rows are cut at the wrong length; the result is then turned as well.
# Masks and 16-bit images are such files. segsuite opens all images by file object therefore.
#
#   bash findings/pillow_turned_grey_tiff.sh      exits with 0 while the two readings differ
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/turned.tif" <<'PYTHON'
import sys

import numpy as np
from PIL import Image

path = sys.argv[1]
stored = np.arange(24, dtype=np.uint8).reshape(4, 6)
exif = Image.Exif()
exif[0x0112] = 6  # to be turned clockwise by a quarter
Image.fromarray(stored).save(path, exif=exif)

with open(path, "rb") as file:
    by_object = np.array(Image.open(file))
by_path = np.array(Image.open(path))
print("expected, as the tag says:\n", np.rot90(stored, -1))
print("opened by file object:\n", by_object)
print("opened by path:\n", by_path)
assert np.array_equal(by_object, np.rot90(stored, -1))
sys.exit(int(np.array_equal(by_path, by_object)))
PYTHON
