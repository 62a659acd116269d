"""How examples are made of grey levels: which ways there are, and pixels drawn once. What is missing stays so."""

import math

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


def drawn_at(grey: np.ndarray, seed: tuple[int, ...], places: np.ndarray) -> np.ndarray:
    """The draws that `drawn_once` has of `np.random.default_rng(seed)` for the rows at some places among all.

    Args:
        grey: grey levels of these rows, `[B, ...]`.
        seed: of the generator.
        places: int64 `[B]`, from 0.

    Returns:
        pixels `[B, ...]`.
    """
    scale = np.float32(255.0 if grey.dtype == np.uint8 else 1.0)
    size = math.prod(grey.shape[1:])
    bits = np.random.PCG64(list(seed))
    start = bits.state
    uniform = np.empty((len(grey), size), np.float32)
    # Rows that follow each other are one draw.
    for run in np.split(np.arange(len(places)), np.flatnonzero(np.diff(places) != 1) + 1):
        # A step of the generator is two numbers of float32.
        steps, half = divmod(int(places[run[0]]) * size, 2)
        bits.state = start
        bits.advance(steps)
        numbers = np.random.Generator(bits).random(half + len(run) * size, np.float32)[half:]
        uniform[run] = numbers.reshape(len(run), size)
    return _with_missing(uniform.reshape(grey.shape) * scale < grey, grey)


def level_table(levels: int, brightest: int) -> np.ndarray | None:
    """The level of each of 256 grey levels, float32; `None` where bytes are levels already.

    Args:
        levels: C, how many levels there are.
        brightest: the largest byte of the training split: below C, or so dark that all would be level 0, bytes are
            levels.
    """
    table = np.round(np.arange(256) * ((levels - 1) / 255.0)).astype(np.float32)
    return table if levels <= brightest <= 255 and table[brightest] > 0 else None


def _with_missing(pixels: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Bool pixels, or float32 ones where some grey levels are NaN and so are their pixels."""
    missing = np.isnan(grey) if grey.dtype.kind == "f" else None
    return pixels if missing is None or not missing.any() else np.where(missing, np.float32(np.nan), pixels)
