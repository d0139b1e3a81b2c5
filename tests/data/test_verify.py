import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segsuite.core.errors import DataError
from segsuite.data.checks import verify
from segsuite.data.checks.verify import inspected, verified
from segsuite.data.class_table import ClassTable
from segsuite.data.readers import paired_files
from segsuite.data.readers.paired_files import PairedFiles
from tests.data.layouts import camvid, mask_of, write_mask

TABLE = ClassTable.load("camvid11")


def samples_at(root: Path) -> Any:
    reader = PairedFiles(
        images="{split}/{id}.*", masks="{split}annot/{id}.png", splits={"train": "train"}
    )
    return reader.open("train", root=root, classes=TABLE, instances=False, strict=True)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return camvid(tmp_path / "camvid", train=4)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that are decoded from now on."""
    seen: list[Path] = []
    decode = paired_files.decode_image
    monkeypatch.setattr(
        paired_files, "decode_image", lambda path, **how: seen.append(path) or decode(path, **how)
    )
    return seen


def test_faultless_samples_pass(root: Path, tmp_path: Path) -> None:
    samples = samples_at(root)
    assert verified(samples, TABLE, folder=tmp_path / "known")[0] is samples


def test_known_files_are_not_decoded_again(
    root: Path, tmp_path: Path, decodings: list[Path]
) -> None:
    first = inspected(samples_at(root), folder=tmp_path)
    assert len(decodings) == 4
    assert inspected(samples_at(root), folder=tmp_path) == first
    assert len(decodings) == 4
    changed = root / "trainannot" / "0001TP_000002.png"
    write_mask(changed, mask_of([5]))
    os.utime(changed, ns=(1, 1))
    again = inspected(samples_at(root), folder=tmp_path)
    assert [path.stem for path in decodings[4:]] == ["0001TP_000002"]
    assert again[2].counts == {5: 12 * 16}


def test_a_broken_memory_is_made_anew(root: Path, tmp_path: Path, decodings: list[Path]) -> None:
    first = inspected(samples_at(root), folder=tmp_path / "known")
    (memory,) = (tmp_path / "known").iterdir()
    older = {**json.loads(memory.read_text()), "form": -1}
    for content in ("{", "[]", json.dumps(older)):
        memory.write_text(content)
        assert inspected(samples_at(root), folder=tmp_path / "known") == first
    assert len(decodings) == 16


def test_what_was_seen_before_a_stop_is_remembered(
    root: Path, tmp_path: Path, decodings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_AT_ONCE", 3)

    class Stopped(type(samples_at(root))):
        def inspect(self, index: int) -> Any:
            if index == 3:
                raise KeyboardInterrupt
            return super().inspect(index)

    with pytest.raises(KeyboardInterrupt):
        inspected(Stopped(**vars(samples_at(root))), folder=tmp_path)
    assert len(decodings) == 3
    assert len(inspected(samples_at(root), folder=tmp_path)) == 4 and len(decodings) == 4


@pytest.mark.parametrize("folder, kind", [("train", "image"), ("trainannot", "mask")])
def test_a_file_cut_short_is_named(root: Path, tmp_path: Path, folder: str, kind: str) -> None:
    path = root / folder / "0001TP_000002.png"
    cut_short(path)
    with pytest.raises(DataError) as caught:
        verified(samples_at(root), TABLE, folder=tmp_path)
    assert f"{path} cannot be decoded" in str(caught.value)
    assert "1 of 4 samples are faulty" in str(caught.value)


def test_a_fault_is_not_remembered(root: Path, tmp_path: Path) -> None:
    path = root / "train" / "0001TP_000002.png"
    whole, stat = path.read_bytes(), path.stat()
    path.write_bytes(whole[:200] + b"\0" * (len(whole) - 200))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DataError):
        verified(samples_at(root), TABLE, folder=tmp_path)
    path.write_bytes(whole)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    verified(samples_at(root), TABLE, folder=tmp_path)


def test_an_id_out_of_range_is_named_with_its_file(root: Path, tmp_path: Path) -> None:
    path = root / "trainannot" / "0001TP_000001.png"
    write_mask(path, mask_of([0, 3, 57]))
    with pytest.raises(DataError, match=rf"{path} holds the id 57, not in the class table"):
        verified(samples_at(root), TABLE, folder=tmp_path)


def test_another_table_is_checked_without_decoding(
    root: Path, tmp_path: Path, decodings: list[Path]
) -> None:
    samples = samples_at(root)
    verified(samples, TABLE, folder=tmp_path)
    smaller = ClassTable(TABLE.names[:8], TABLE.colors[:8], TABLE.ids[:8], ignore=11)
    with pytest.raises(DataError, match="4 of 4 samples are faulty"):
        verified(samples, smaller, folder=tmp_path)
    assert len(decodings) == 4


def test_other_faults_are_found(root: Path, tmp_path: Path) -> None:
    write_mask(root / "trainannot/0001TP_000000.png", mask_of([0], (6, 6)))
    Image.new("RGB", (16, 12)).save(root / "train/0001TP_000002.png")
    with pytest.raises(DataError) as caught:
        verified(samples_at(root), TABLE, folder=tmp_path)
    assert "is 12x16, but its mask is 6x6" in str(caught.value)
    assert "is one colour all over" in str(caught.value)


def test_faulty_samples_are_left_out_when_not_strict(root: Path, tmp_path: Path) -> None:
    cut_short(root / "train" / "0001TP_000000.png")
    samples, facts = verified(samples_at(root), TABLE, folder=tmp_path, strict=False)
    assert len(facts) == len(samples)
    assert samples.ids == ["0001TP_000001", "0001TP_000002", "0001TP_000003"]
    assert samples[0].id == "0001TP_000001" and np.unique(samples[0].label).tolist() == [
        -1,
        0,
        3,
        8,
    ]
    for number in range(1, 4):
        cut_short(samples_at(root).images[number])
    with pytest.raises(DataError, match="4 of 4"):
        verified(samples_at(root), TABLE, folder=tmp_path, strict=False)


def test_a_folder_that_cannot_be_written_to_is_no_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert len(inspected(samples_at(root), folder=tmp_path / "file")) == 4
