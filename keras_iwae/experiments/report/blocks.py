"""What a page is made of: pictures that carry their own bytes, and notes in the place of what is missing."""

import base64
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

T = TypeVar("T")
# What files of a run raise that are damaged, half there, or of another version.
_DAMAGED = (ValueError, OSError, LookupError, TypeError, AttributeError, ArithmeticError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Missing:
    """What stands in the place of a part that is not there: why, and the command that makes it if there is one."""

    reason: str
    command: str | None = None


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, and what it shows in words, for those who cannot see it."""

    uri: str
    alt: str
    pixelated: bool = False


def attempt(make: Callable[[], T]) -> T | Missing:
    """What `make` gives, or a note of what kept it from giving it."""
    try:
        return make()
    except _DAMAGED as error:
        return Missing(" ".join(str(error).split()) or type(error).__name__)


def chart(figure: Figure, alt: str) -> Picture:
    """A matplotlib figure as vector graphics."""
    buffer = io.BytesIO()
    # Without a date the same run gives the same page.
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Picture(f"data:image/svg+xml;base64,{_base64(buffer.getvalue())}", alt)


def pixels(grid: np.ndarray, alt: str) -> Picture:
    """Grey levels or colours in [0, 1], `[H, W]` or `[H, W, 3]`, pixel by pixel; grey is shown as ink on paper."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, 1.0 - grid if grid.ndim == 2 else grid, cmap="gray", vmin=0.0, vmax=1.0, format="png")
    return Picture(f"data:image/png;base64,{_base64(buffer.getvalue())}", alt, pixelated=True)


def stored(data: bytes, alt: str) -> Picture:
    """The bytes of a PNG file."""
    return Picture(f"data:image/png;base64,{_base64(data)}", alt)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
