"""Read the code of a meeting from a picture or a camera, if the extra ``camera`` is installed.

Bounds:   IMAGE_BYTES_MAX of a file; CAMERA_S of looking.
Trust:    a picture may show anything; what is read out of it is parsed like typed text. The picture itself is
          decoded by OpenCV: give it pictures that you made.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of a picture. Our choice: a phone's photo has 5 MB. Longer: refused."""

CAMERA_S = 60.0
"""Seconds for which the camera looks for a code. Our choice. Then it gives up."""

_PREFIX = "KMEET"


def read_image(path: Path) -> str:
    """The code in a picture.

    Raises:
        CliError: There is none, or the extra is not installed.
        OSError: The file cannot be read.
    """
    cv2 = _opencv()
    with path.open("rb") as file:
        data = file.read(IMAGE_BYTES_MAX + 1)
    if len(data) > IMAGE_BYTES_MAX:
        raise CliError(f"{path} is too long for a picture", family=Exit.MISUSE, code="file_too_large")
    numpy = importlib.import_module("numpy")
    picture = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if picture is None:
        raise CliError(f"{path} is no picture that can be read", family=Exit.MISUSE, code="bad_image")
    found = _code_in(cv2, picture)
    if found is None:
        raise CliError(
            f"there is no code of a meeting in {path}",
            family=Exit.MISUSE,
            code="no_code",
            hint="take the picture again, nearer and straight, or type the text below the code",
        )
    return found


def read_camera(number: int = 0) -> str:
    """The first code that the camera sees.

    Args:
        number: Which camera, by the operating system's count.

    Raises:
        CliError: There is no camera, it sees none, or the extra is not installed.
    """
    cv2 = _opencv()
    end = time.monotonic() + CAMERA_S
    for picture in _frames(cv2, number):
        found = _code_in(cv2, picture)
        if found is not None:
            return found
        if time.monotonic() > end:
            break
    raise CliError(
        f"the camera saw no code of a meeting within {CAMERA_S:g} s",
        family=Exit.UNAVAILABLE,
        code="no_code",
        hint="type the text below the code: kontinuum meet join -",
    )


def _frames(cv2: Any, number: int) -> Iterator[Any]:
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise CliError(
                f"camera {number} cannot be opened",
                family=Exit.UNAVAILABLE,
                code="no_camera",
                hint="take a picture and use --image, or type the text: kontinuum meet join -",
            )
        while True:
            seen, picture = camera.read()
            if not seen:
                return
            yield picture
    finally:
        camera.release()


def _code_in(cv2: Any, picture: Any) -> str | None:
    """A code of a meeting among the QR codes of a picture; a small picture is looked at enlarged as well."""
    detector = cv2.QRCodeDetector()
    for scale in (1, 2):
        larger = picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale)
        try:
            seen, texts, _, _ = detector.detectAndDecodeMulti(larger)
        except cv2.error:
            continue  # Some pictures are too odd for it.
        for text in texts if seen else ():
            if text.startswith(_PREFIX):
                return str(text)
    return None


def _opencv() -> Any:
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise CliError(
            "reading pictures needs the extra 'camera', which is not installed",
            family=Exit.MISUSE,
            code="extra_missing",
            hint="pip install 'kontinuum[camera]', or type the text below the code: kontinuum meet join -",
        ) from None
