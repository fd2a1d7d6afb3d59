"""Codes: QR codes, 1-D barcodes and ArUco or AprilTag markers, read by OpenCV.

Rules kept here: only what decodes is reported; boxes and corners are in pixels of the full-size frame.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Protocol

import cv2
import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from mesh.codec import Image
from mesh.errors import ConfigError
from mesh.frame import Detection, Frame


class Kind(StrEnum):
    """What can be looked for."""

    QR = "qr"
    BARCODE = "barcode"
    ARUCO = "aruco"


def _kinds(text: object) -> object:
    return tuple(part for part in text.split("+") if part) if isinstance(text, str) else text


Kinds = Annotated[
    tuple[Kind, ...],
    BeforeValidator(_kinds),
    Field(min_length=1),
    WithJsonSchema({"description": "qr, barcode, aruco, joined by '+'"}),
]
Found = tuple[str, str, Any]  # text, format, corners of shape (4, 2) in the picture that was looked at


class Codes:
    """Adds a detection for every code that can be read, labelled "qr", "barcode" or "aruco".

    kinds:       which codes to look for
    every:       look at every N-th frame only; the others pass as they are
    max_side:    longest side in pixels of the picture that is looked at; 0 is the full size. Small codes
                 are lost by reducing; what is left is found faster
    dictionary:  the markers' dictionary, as OpenCV names it: 4X4_50, 6X6_250, APRILTAG_36H11 …

    A detection's `attributes` are `text` (a marker's number, for aruco), `format` ("QR", "EAN_13", "4X4_50")
    and `corners`, four [x, y] in order around the code. Its score is 1: a code reads or it does not.
    """

    def __init__(
        self,
        kinds: Kinds = (Kind.QR, Kind.BARCODE, Kind.ARUCO),
        every: Annotated[int, Field(ge=1)] = 1,
        max_side: Annotated[int, Field(ge=0)] = 0,
        dictionary: str = "4X4_50",
    ) -> None:
        self.every = every
        self.max_side = max_side or None
        readers: Mapping[Kind, Callable[[], Reader]] = {
            Kind.QR: QrReader,
            Kind.BARCODE: BarcodeReader,
            Kind.ARUCO: lambda: ArucoReader(dictionary),
        }
        self._readers = {kind: readers[kind]() for kind in dict.fromkeys(kinds)}
        self._seen = 0

    def __call__(self, frame: Frame) -> Frame:
        self._seen += 1
        if (self._seen - 1) % self.every:
            return frame
        gray = frame.gray(self.max_side)
        scale = np.array([frame.width / gray.shape[1], frame.height / gray.shape[0]])
        found = [
            _detection(kind, text, form, np.asarray(corners).reshape(-1, 2) * scale)
            for kind, reader in self._readers.items()
            for text, form, corners in reader.read(gray)
        ]
        return frame.annotate(*found) if found else frame


class Reader(Protocol):
    """Finds one kind of code in a gray picture."""

    def read(self, gray: Image) -> Iterator[Found]: ...


class QrReader:
    """QR codes."""

    def __init__(self) -> None:
        self._detector = cv2.QRCodeDetector()

    def read(self, gray: Image) -> Iterator[Found]:
        ok, texts, corners, _ = self._detector.detectAndDecodeMulti(gray)
        for text, quad in zip(texts, corners, strict=True) if ok else ():
            if text:
                yield text, "QR", quad


class BarcodeReader:
    """1-D barcodes: EAN-8, EAN-13, UPC-A, UPC-E."""

    def __init__(self) -> None:
        if not hasattr(cv2, "barcode"):
            raise ConfigError("this OpenCV reads no barcodes: install opencv-python 4.9 or later")
        self._detector = cv2.barcode.BarcodeDetector()

    def read(self, gray: Image) -> Iterator[Found]:
        ok, texts, kinds, corners = self._detector.detectAndDecodeWithType(gray)
        for text, kind, quad in zip(texts, kinds, corners, strict=True) if ok else ():
            if text:
                yield text, kind, quad


class ArucoReader:
    """ArUco and AprilTag markers of one dictionary. Raises `ConfigError` for a dictionary there is not."""

    def __init__(self, dictionary: str) -> None:
        number = getattr(cv2.aruco, f"DICT_{dictionary.upper()}", None)
        if number is None:
            names = sorted(n.removeprefix("DICT_") for n in dir(cv2.aruco) if n.startswith("DICT_"))
            raise ConfigError(f"no marker dictionary {dictionary!r}: there are {' '.join(names)}")
        self._name = dictionary.upper()
        self._detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(number))

    def read(self, gray: Image) -> Iterator[Found]:
        corners, ids, _ = self._detector.detectMarkers(gray)
        for quad, number in zip(corners, np.ravel(ids) if ids is not None else (), strict=True):
            yield str(int(number)), self._name, quad


def _detection(kind: Kind, text: str, form: str, corners: Any) -> Detection:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    box = (
        round(float(left), 1),
        round(float(top), 1),
        round(float(right - left), 1),
        round(float(bottom - top), 1),
    )
    points = [[round(float(x), 1), round(float(y), 1)] for x, y in corners]
    return Detection(kind.value, 1.0, box, "codes", {"text": text, "format": form, "corners": points})
