"""Codes that are drawn here and read back."""

import cv2
import numpy as np
import pytest

from mesh.codec import Image
from mesh.errors import ConfigError
from mesh.frame import Detection
from nodes.process.processors.catalog import factory
from nodes.process.processors.codes import Codes, Kind
from tests.process.support import frame, iou

# EAN-13: left odd ("L") and even ("G") and right ("R") codes as runs of 7 modules.
_L = [
    "0001101",
    "0011001",
    "0010011",
    "0111101",
    "0100011",
    "0110001",
    "0101111",
    "0111011",
    "0110111",
    "0001011",
]
_PARITY = ["LLLLLL", "LLGLGG", "LLGGLG", "LLGGGL", "LGLLGG", "LGGLLG", "LGGGLL", "LGLGLG", "LGLGGL", "LGGLGL"]


def canvas() -> Image:
    return np.full((540, 960, 3), 255, dtype=np.uint8)


def draw(onto: Image, code: Image, x: int, y: int) -> Image:
    onto[y : y + code.shape[0], x : x + code.shape[1]] = code[:, :, None]
    return onto


def qr(text: str, side: int) -> Image:
    code = cv2.QRCodeEncoder.create().encode(text)
    return np.asarray(cv2.resize(code, (side, side), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def ean13(digits: str, module: int = 3, height: int = 120) -> Image:
    flipped = str.maketrans("01", "10")
    right = [code.translate(flipped) for code in _L]
    parity = _PARITY[int(digits[0])]
    left = [_L[int(d)] if p == "L" else right[int(d)][::-1] for d, p in zip(digits[1:7], parity, strict=True)]
    bits = "101" + "".join(left) + "01010" + "".join(right[int(d)] for d in digits[7:]) + "101"
    row = np.array([0 if bit == "1" else 255 for bit in bits], dtype=np.uint8)
    return np.tile(np.repeat(row, module), (height, 1))


def through_a_lens(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0), dtype=np.uint8)


def marker(number: int, side: int) -> Image:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    return np.asarray(cv2.aruco.generateImageMarker(dictionary, number, side), dtype=np.uint8)


def the_one(codes: Codes, image: Image) -> Detection:
    (found,) = codes(frame(image)).detections
    assert (found.by, found.score) == ("codes", 1.0)
    assert np.asarray(found.attributes["corners"]).shape == (4, 2)
    return found


def test_qr() -> None:
    found = the_one(Codes(), draw(canvas(), qr("pallet 4711, bay 3", 210), 300, 120))
    assert (found.label, found.attributes["text"], found.attributes["format"]) == (
        "qr",
        "pallet 4711, bay 3",
        "QR",
    )
    assert iou(found.box, (300, 120, 210, 210)) > 0.7


def test_several_qr_codes() -> None:
    image = draw(draw(canvas(), qr("left", 210), 100, 120), qr("right", 210), 600, 200)
    texts = {each.attributes["text"] for each in Codes(kinds=(Kind.QR,))(frame(image)).detections}
    assert texts == {"left", "right"}


def test_boxes_are_in_full_size_pixels_when_the_picture_is_reduced() -> None:
    found = the_one(Codes(max_side=480), draw(canvas(), qr("small", 210), 500, 200))
    assert iou(found.box, (500, 200, 210, 210)) > 0.7


def test_barcode() -> None:
    found = the_one(Codes(), through_a_lens(draw(canvas(), ean13("4006381333931"), 300, 200)))
    assert (found.label, found.attributes["text"]) == ("barcode", "4006381333931")
    assert found.attributes["format"].replace("-", "_") == "EAN_13"


def test_aruco() -> None:
    found = the_one(Codes(kinds=(Kind.ARUCO,)), draw(canvas(), marker(7, 160), 400, 150))
    assert (found.label, found.attributes["text"], found.attributes["format"]) == ("aruco", "7", "4X4_50")
    assert iou(found.box, (400, 150, 160, 160)) > 0.9


def test_nothing_to_read() -> None:
    image = np.random.default_rng(0).integers(0, 255, (540, 960, 3), dtype=np.uint8)
    picture = frame(image)
    assert Codes(kinds=tuple(Kind))(picture) is picture


def test_every_nth_frame_is_looked_at() -> None:
    codes, image = Codes(every=3), draw(canvas(), qr("now and then", 210), 300, 120)
    assert [len(codes(frame(image, seq)).detections) for seq in range(7)] == [1, 0, 0, 1, 0, 0, 1]


def test_options_as_they_are_typed() -> None:
    codes = factory("codes:kinds=qr+aruco,every=2,dictionary=5x5_100").new()
    assert isinstance(codes, Codes)
    assert codes.every == 2
    with pytest.raises(ConfigError, match="no marker dictionary '9X9': there are 4X4_100"):
        factory("codes:kinds=aruco,dictionary=9X9")
    with pytest.raises(ConfigError, match=r"kinds=qr\+morse is wrong .*qr, barcode, aruco, joined by"):
        factory("codes:kinds=qr+morse")
