import errno
import io
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile
from PIL.PngImagePlugin import PngInfo

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.readers import decode, plain_files
from segsuite.data.readers.decode import decode_image, decode_mask, is_image
from segsuite.data.readers.paired_files import PairedFiles
from segsuite.data.readers.plain_files import plain_color, plain_grey
from tests.data.layouts import mask_of, write_image, write_mask

UPRIGHT = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
STORED = {  # what a camera stores of the upright image, by the orientation that it writes
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


def write_tagged(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    how = {"lossless": True} if path.suffix == ".webp" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif, **how)


@pytest.fixture
def limit() -> object:
    """Pillow's limit as it was, and asked for anew."""
    before = Image.MAX_IMAGE_PIXELS
    decode._pixel_limit.cache_clear()
    yield
    Image.MAX_IMAGE_PIXELS = before
    decode._pixel_limit.cache_clear()


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_images_and_masks_are_upright_as_a_viewer_shows_them(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"photo.{suffix}"
    write_tagged(path, STORED[orientation], orientation)
    assert (decode_image(path) == UPRIGHT).all()
    if suffix != "webp":  # which has no grey
        write_tagged(path, STORED[orientation][..., 0], orientation)
        assert (decode_mask(path) == UPRIGHT[..., 0]).all()


@pytest.mark.parametrize("orientation", STORED)
def test_a_jpeg_is_decoded_as_pillow_does(orientation: int, tmp_path: Path) -> None:
    waves = np.sin(np.arange(37 * 53 * 3).reshape(37, 53, 3) / 40)
    pixels = (127.5 + 127 * waves).astype(np.uint8)
    exif, path = Image.Exif(), tmp_path / "photo.JPG"
    exif[0x0112] = orientation
    for how in ({}, {"subsampling": 0}, {"progressive": True}, {"exif": exif}):
        Image.fromarray(pixels).save(path, **how)
        by_pillow = np.array(decode.opened(path))
        assert (decode_image(path) == by_pillow).all(), how
        assert (plain_color(path) is None) == (how == {"exif": exif} and orientation != 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"photo\.JPG cannot be decoded \(.*[Tt]runcated"):
        decode_image(path)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("how", ["plain", "gamma", "dots", "optimised", "large"])
def test_a_plain_png_is_decoded_as_pillow_does(mode: str, how: str, tmp_path: Path) -> None:
    size = (700, 900) if how == "large" else (37, 53)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    path, info = tmp_path / "a.PNG", PngInfo()
    if how == "gamma":
        info.add(b"gAMA", (100_000).to_bytes(4, "big"))
    dots = {"dpi": (300, 300)} if how == "dots" else {}
    Image.fromarray(pixels).convert(mode).save(
        path, pnginfo=info, optimize=how == "optimised", **dots
    )
    read, plain = (decode_image, plain_color) if mode == "RGB" else (decode_mask, plain_grey)
    assert plain(path) is not None
    assert (read(path) == np.array(decode.opened(path))).all()


def test_a_png_that_is_not_plain_is_left_to_pillow(tmp_path: Path) -> None:
    path, info = tmp_path / "a.png", PngInfo()
    info.add_text("Comment", "may be an orientation")
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    for write in (
        lambda: Image.fromarray(UPRIGHT).save(path, icc_profile=profile),
        lambda: Image.fromarray(UPRIGHT).save(path, pnginfo=info),
        lambda: Image.fromarray(UPRIGHT).save(path, transparency=(0, 0, 0)),
        lambda: Image.fromarray(UPRIGHT).convert("RGBA").save(path),
        lambda: Image.fromarray(UPRIGHT[..., 0].astype(np.uint16)).save(path),
        lambda: Image.fromarray(UPRIGHT[..., 0] > 100).save(path),
        lambda: Image.fromarray(UPRIGHT).convert("P").save(path),
    ):
        write()
        assert plain_color(path) is None and plain_grey(path) is None
        decode_image(path)


def test_a_damaged_png_is_told_by_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for pixels, read in ((noise, decode_image), (noise[..., 0], decode_mask)):
        path = tmp_path / "a.png"
        Image.fromarray(pixels).save(path)
        whole = path.read_bytes()
        half = len(whole) // 2
        flipped = whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]
        for damaged in (whole[:20], whole[:half], flipped):
            path.write_bytes(damaged)
            assert plain_color(path) is None and plain_grey(path) is None
            with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
                read(path)


@pytest.mark.parametrize("kind", ["pHYs", "tIME", "gAMA", "cHRM", "sRGB", "iCCP"])
def test_a_part_of_a_png_that_is_cut_short_is_left_to_pillow(kind: str, tmp_path: Path) -> None:
    for pixels, read in ((UPRIGHT, decode_image), (UPRIGHT[..., 0], decode_mask)):
        path = tmp_path / "a.png"
        Image.fromarray(pixels).save(path)
        whole, part = path.read_bytes(), kind.encode()
        after = 8 + 25  # the signature and IHDR
        empty = bytes(4) + part + zlib.crc32(part).to_bytes(4, "big")
        path.write_bytes(whole[:after] + empty + whole[after:])
        assert plain_color(path) is None and plain_grey(path) is None
        if kind == "tIME":  # which Pillow does not look at
            assert (read(path) == pixels).all()
        else:
            with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
                read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_that_cannot_be_read_is_told_by_name(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs tests as root may read everything: a disk that fails, then."""

    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / f"a.{suffix}"
    write_image(path)
    monkeypatch.setattr(io, "open", failing)  # by which pathlib opens
    monkeypatch.setattr("builtins.open", failing)
    assert plain_color(path) is None and plain_grey(path) is None
    for read in (decode_image, decode_mask):
        with pytest.raises(DataError, match=rf"a\.{suffix} cannot be decoded .*Input/output error"):
            read(path)


def test_of_a_png_that_is_not_plain_the_header_alone_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, taken = tmp_path / "a.png", []

    class Counting(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            taken.append(super().read(size))
            return taken[-1]

    monkeypatch.setattr(plain_files, "open", lambda at, *_, **__: Counting(at), raising=False)
    Image.fromarray(UPRIGHT).convert("RGBA").save(path)
    assert plain_color(path) is None and plain_grey(path) is None
    assert [len(data) for data in taken] == [26, 26]
    Image.fromarray(UPRIGHT).save(path)
    assert plain_color(path) is not None and taken[-1] == path.read_bytes()


def test_a_damaged_tag_says_nothing(tmp_path: Path) -> None:
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=b"Exif\0\0no such header")
    assert (decode_image(tmp_path / "a.png") == UPRIGHT).all()


def test_an_image_without_a_tag_is_not_turned_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once decoded and never copied: what most images are must not become slower."""
    write_image(tmp_path / "a.bmp")
    loads, turns = [], []
    monkeypatch.setattr(Image.Image, "transpose", lambda *_: turns.append(1))
    monkeypatch.setattr(Image, "open", lambda p, real=Image.open: loads.append(p) or real(p))
    decode_image(tmp_path / "a.bmp")
    assert len(loads) == 1 and not turns


@pytest.mark.parametrize("turned", ["image", "mask"])
def test_sizes_that_differ_by_a_tag_say_exif(turned: str, tmp_path: Path) -> None:
    tags = {"image": 1, "mask": 1, turned: 6}
    write_tagged(tmp_path / "images/a.jpg", STORED[1], tags["image"])
    write_tagged(tmp_path / "masks/a.png", np.zeros((4, 6), np.uint8), tags["mask"])
    samples = PairedFiles(
        images="images/{id}.jpg", masks="masks/{id}.png", splits={"train": 1.0}
    ).open(
        "train",
        root=tmp_path,
        classes=ClassTable.load("camvid11"),
        instances=False,
        strict=True,
    )
    with pytest.raises(DataError, match=r"a\.jpg is (6x4|4x6), but its mask is .*its EXIF orient"):
        samples[0]
    assert "EXIF" in samples.inspect(0).fault


def test_images_of_any_colour_mode_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "CMYK", "RGB", "P", "RGBA", "LA", "1"):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (5, 4)).save(path)
        assert decode_image(path).shape == (4, 5, 3)
    for suffix in ("ppm", "bmp", "tif", "webp", "pnm", "jfif"):
        write_image(tmp_path / f"a.{suffix}")
        assert is_image(f"a.{suffix.upper()}") and decode_image(tmp_path / f"a.{suffix}").any()


def test_large_images_are_read_some_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    for at_once in (3, 20, 70):  # less than a row, two rows and a rest, all but one row
        monkeypatch.setattr(decode, "_AT_ONCE", at_once)
        assert np.array_equal(decode_image(tmp_path / "large.png"), pixels)


def test_images_of_sixteen_bits_are_scaled_as_stated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "thermal.png"
    Image.fromarray(mask_of([0, 257, 32896, 65535], dtype=np.uint16)).save(path)
    assert decode_image(path)[0, ::4].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]
    assert not caplog.text
    Image.fromarray(mask_of([0, 819, 4095, 4000], dtype=np.uint16)).save(path)
    assert decode_image(path, white=4095)[0, ::4, 0].tolist() == [0, 51, 255, 249]
    assert not caplog.text
    decode_image(path)
    assert "nearly black" in caplog.text and "data.reader.white=4095" in caplog.text
    Image.fromarray(mask_of([0, 4001], dtype=np.uint16)).save(path)
    decode_image(path)
    assert caplog.text.count("nearly black") == 1, "once a folder, however bright each image is"


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_images_of_32_bits_ask_what_is_white(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "thermal.tif"
    Image.fromarray(mask_of([0, 1, 2], dtype=dtype)).save(path)
    with pytest.raises(DataError, match=r"thermal\.tif is grey of 32 bits.*data\.reader\.white=V"):
        decode_image(path)
    assert decode_image(path, white=2.0)[0, ::6, 0].tolist() == [0, 128, 255]


def test_the_limit_of_pixels_is_lifted_by_what_the_error_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: None
) -> None:
    write_image(tmp_path / "large.png", (12, 16))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 95)
    with pytest.raises(DataError, match=r"large\.png has 192 .*type SEGSUITE_MAX_PIXELS=192 bef"):
        decode_image(tmp_path / "large.png")
    for given in ("many", "0", "-3"):
        monkeypatch.setenv(decode.PIXEL_LIMIT, given)
        decode._pixel_limit.cache_clear()
        with pytest.raises(ConfigError, match=f"SEGSUITE_MAX_PIXELS={given} is no number"):
            decode_image(tmp_path / "large.png")
    monkeypatch.setenv(decode.PIXEL_LIMIT, "192")
    decode._pixel_limit.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(tmp_path / "large.png").shape == (12, 16, 3)


@pytest.mark.parametrize("what", ["pipe", "link to itself", "folder", "nothing"])
def test_what_is_no_file_is_named_at_once(what: str, tmp_path: Path) -> None:
    """Opening a pipe would wait for ever."""
    path = tmp_path / "odd.png"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link to itself":
        path.symlink_to(path)
    elif what == "folder":
        path.mkdir()
    with pytest.raises(DataError, match=r"odd\.png (is no file|cannot be decoded|does not exist)"):
        decode_image(path)


def test_names_of_images() -> None:
    assert is_image("a.JPG") and is_image(Path("/x.d/b.tiff"))
    assert not any(map(is_image, ("._a.jpg", "/photos/._a.jpg", ".png", "a.txt", "Thumbs.db")))


def test_masks_of_jpeg_and_of_a_bitmap(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.bmp", mask_of([0, 1, 2]))
    write_mask(tmp_path / "a.tif", mask_of([0, 1, 2]))
    for path in (tmp_path / "a.bmp", tmp_path / "a.tif"):
        assert np.unique(decode_mask(path)).tolist() == [0, 1, 2]
    buffer = io.BytesIO()
    Image.fromarray(mask_of([0, 1]).astype(bool)).save(buffer, "PNG")
    (tmp_path / "one_bit.png").write_bytes(buffer.getvalue())
    assert np.unique(decode_mask(tmp_path / "one_bit.png")).tolist() == [0, 1]
