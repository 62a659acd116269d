"""What is known of the examples of a split once all have passed by, in the memory of a few of them."""

from typing import Any

import numpy as np

from keras_iwae.data.digests import add_rows, begun

# Of a whole number: what float32 may have made of it on its way.
_ROUNDING = 1e-3


class Tally:
    """Counts, extremes and sums of examples that come in blocks.

    Args:
        shape: of an example.
        dtype: uint8 or float32.

    Attributes:
        count: examples so far.
        high: the largest entry so far.
        between: whether some byte is neither 0 nor 255.
        total: the sum over the examples of what was observed of each entry, float64.
        observed: in how many examples each entry was, int64.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype = shape, dtype
        self.count = 0
        self.low, self.high = np.inf, -np.inf
        self.fraction: float | None = None
        self.missing = self.between = False
        self.total, self.observed = np.zeros(shape), np.zeros(shape, np.int64)
        self._rows = begun(dtype, shape)

    def add(self, block: np.ndarray) -> None:
        """Count a block `[B, *shape]`."""
        self.count += len(block)
        add_rows(self._rows, block)
        if block.dtype == np.uint8:
            self.low, self.high = min(self.low, int(block.min())), max(self.high, int(block.max()))
            self.between = self.between or bool(((block > 0) & (block < 255)).any())
            self.total += block.sum(axis=0, dtype=np.int64)
            self.observed += len(block)
            return
        there = ~np.isnan(block)
        self.missing = self.missing or not there.all()
        seen = block[there]
        if seen.size:
            self.low, self.high = min(self.low, float(seen.min())), max(self.high, float(seen.max()))
        if self.fraction is None and (parts := seen[np.abs(seen - np.round(seen)) > _ROUNDING]).size:
            self.fraction = float(parts[0])
        # Row after row, as over an array that is there at once: sums of floats are of their order.
        values = np.where(there, block, np.float32(0.0)).astype(np.float64)
        self.total = np.add.reduce(np.concatenate([self.total[np.newaxis], values]), axis=0)
        self.observed += there.sum(axis=0)

    def record(self) -> dict[str, Any]:
        """What `info.json` has of the split, beside its files."""
        seen = np.isfinite(self.low)
        return {
            "examples": self.count,
            "sha256": self._rows.hexdigest(),
            "low": self.low if seen else None,
            "high": self.high if seen else None,
            "fraction": self.fraction,
            "missing": self.missing,
        }
