"""Files that torch wrote, read as plain types only, after their checksums were compared.

`torch.save` writes a zip archive with a checksum (CRC-32) of each entry, and `torch.load` compares
none of them: a bit that has rotted on the disk would be a weight of another value. Files of the
time before archives have no checksums, and are read as they are.
"""

import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import torch

from segsuite.core.errors import CheckpointError

_BEGINS = b"PK\x03\x04"
"""Of a zip archive."""
_CHUNK = 2**22
_EXPORTED = {
    ".onnx": "an ONNX file (segsuite.predict alone takes those of segsuite.export)",
    ".pte": "an ExecuTorch file",
    ".tflite": "a LiteRT file",
    ".engine": "a TensorRT file",
}


def read_plain(path: str | Path) -> Any:
    """What a file of `torch.save` holds, on the CPU.

    Raises:
        CheckpointError: it is no file, is damaged or cut short, or holds more than plain types.
    """
    path = Path(path)
    if fault := no_file(path):
        raise CheckpointError(fault)
    if kind := _EXPORTED.get(path.suffix.lower()):
        raise CheckpointError(
            f"{path} is {kind}, which holds a network for another runtime and not its config; give "
            "the checkpoint that it was exported from, such as best.ckpt. Of an ONNX file, "
            "segsuite.predict makes masks, and segsuite.export measures the mIoU; "
            "segsuite.benchmark times it"
        )
    if fault := damage(path):
        raise CheckpointError(f"{path} {fault}; take a copy of it, or an earlier checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a dozen kinds, and their text advises to run what is in it
        raise CheckpointError(f"{path} {_refusal(error, path)}") from error


def damage(path: Path) -> str | None:
    """What is wrong with the archive that `path` is, None if nothing is; others are not looked at.

    Raises:
        CheckpointError: the file cannot be opened.
    """
    try:
        with open(path, "rb") as handle:
            begun = handle.read(len(_BEGINS)) == _BEGINS
        if not zipfile.is_zipfile(path):
            return "is cut short: the end of its archive is missing" if begun else None
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if all(entry.CRC == 0 for entry in entries if entry.file_size):
                return None  # written with torch.serialization.set_crc32_options(False)
            for entry in entries:
                with archive.open(entry) as content:
                    while content.read(_CHUNK):
                        pass
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile takes a bit for encryption, another for a codec
        said = str(error) or type(error).__name__
        return f"is damaged: its content does not fit its checksums ({said})"
    return None


def no_file(path: str | Path) -> str | None:
    """Why nothing can be read there, None where a file is; never waits, whatever is there."""
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        if os.path.islink(path) and getattr(error, "filename", None):
            reason = f"it is a symbolic link to {os.readlink(path)}, which leads nowhere"
        else:
            reason = getattr(error, "strerror", None) or str(error)
        return f"no checkpoint at {path} ({reason}); give an existing .ckpt file"
    if stat.S_ISDIR(mode):
        below = (path / name for name in ("best.ckpt", "checkpoints/best.ckpt"))
        there = next((p for p in below if p.is_file()), "one of its .ckpt files")
        return f"no checkpoint at {path}, which is a folder; give {there}"
    if not stat.S_ISREG(mode):
        return f"no checkpoint at {path}, which is a pipe or a device; give an existing .ckpt file"
    return None


def _refusal(error: Exception, path: Path) -> str:
    """Why torch did not read a file whose checksums are right, or which has none."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    refused = re.search(r"GLOBAL (\S+)|\bfunction (\S+)|class (\S+)", str(error))
    if zipfile.is_zipfile(path):
        name = next((n for n in refused.groups() if n), "") if refused else ""
        more = f" ({name})" if name else ""
        return (
            f"cannot be read as a checkpoint: it holds more than plain types{more}, which are not "
            "made from files; save its state dict alone, by torch.save"
        )
    return (
        "cannot be read as a checkpoint: it is cut short, was not written by torch.save, or holds "
        "more than plain types; give one of segsuite.train, such as .../checkpoints/best.ckpt"
    )
