"""How examples are made of grey levels: which ways there are, and pixels drawn once. What is missing stays so."""

import numpy as np

from keras_iwae.foundation import MARK, check_choice, check_integer

BINARIZATIONS = ("dynamic", "static", "threshold", "none", "levels")
# Rows drawn at a time, so that the uniforms of a large dataset are never in memory together; the draws are the same.
_BLOCK = 1000


def check_binarization(binarization: str, levels: int | None = None) -> None:
    """Refuse what is no way of binarizing, and levels where none are counted.

    Raises:
        ValueError: which names the argument.
    """
    check_choice("binarization", binarization, BINARIZATIONS)
    if levels is None:
        return
    check_integer("levels", levels, at_least=2)
    if binarization != "levels":
        raise ValueError(
            f"{MARK}levels`. Expected none with binarization={binarization!r}, which counts none. Received: {levels!r}"
        )


def above_half(grey: np.ndarray) -> np.ndarray:
    """1 where a grey level exceeds one half."""
    return _with_missing(grey > (127 if grey.dtype == np.uint8 else 0.5), grey)


def drawn_once(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One Bernoulli draw of each grey level."""
    scale = np.float32(255.0 if grey.dtype == np.uint8 else 1.0)
    drawn = np.empty(grey.shape, bool)
    for start in range(0, len(grey), _BLOCK):
        block = grey[start : start + _BLOCK]
        drawn[start : start + _BLOCK] = rng.random(block.shape, np.float32) * scale < block
    return _with_missing(drawn, grey)


def _with_missing(pixels: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Bool pixels, or float32 ones where some grey levels are NaN and so are their pixels."""
    missing = np.isnan(grey) if grey.dtype.kind == "f" else None
    return pixels if missing is None or not missing.any() else np.where(missing, np.float32(np.nan), pixels)
