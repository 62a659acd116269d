"""Pictures of a run: drawn anew from its model and data, or taken from its figures where that cannot be."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_iwae import data, plots
from keras_iwae.experiments.comparison import per_example
from keras_iwae.experiments.diagnosis import plane
from keras_iwae.experiments.evaluation_target import evaluation_batches, evaluation_images
from keras_iwae.experiments.report.blocks import Missing, Picture, attempt, chart, pixels, stored
from keras_iwae.foundation import value_errors
from keras_iwae.models import IWAE
from keras_iwae.plots import charts
from keras_iwae.training import runs

_COLUMNS, _SAMPLE_ROWS, _PAIR_ROWS = 16, 6, 3
_MAPPED = 2000
_EXTREMES = 8
_DECODED = "what its posterior mean decodes to"


class Extreme(NamedTuple):
    """A test image, what its posterior mean decodes to, and its log-likelihood in nats."""

    image: Picture
    reconstruction: Picture
    log_likelihood: float
    number: int


class Pictures:
    """The pictures of one run folder; each method raises where the model or the data it needs cannot be read."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def model(self) -> IWAE:
        return runs.load_model(self.folder)

    @cached_property
    def images(self) -> np.ndarray:
        """The first test images, binarized with seed 0."""
        return evaluation_images(self.folder, _MAPPED, seed=0)

    def samples(self) -> Picture | Missing:
        """E[x|z] of draws from the prior."""

        def draw() -> Picture:
            count = _COLUMNS * _SAMPLE_ROWS
            drawn = self._grey(self.model.sample(count).mean)
            return pixels(
                plots.image_grid(drawn, _COLUMNS), f"{count} images drawn from the prior, in {_SAMPLE_ROWS} rows"
            )

        return self._or_figure(draw, "samples.png", "Images drawn from the prior")

    def reconstructions(self) -> Picture | Missing:
        """Rows of test images, each above the row of its reconstructions."""

        def draw() -> Picture:
            originals = self.images[: _COLUMNS * _PAIR_ROWS]
            columns = min(_COLUMNS, len(originals))
            both = self._grey(np.concatenate([originals, self.model.predict(originals, verbose=0)]))
            grid = plots.image_grid(_in_pairs_of_rows(both, columns), columns)
            return pixels(grid, f"{len(originals)} test images in rows, and under each {_DECODED}")

        return self._or_figure(draw, "reconstructions.png", f"Validation images, each followed by {_DECODED}")

    def latent_map(self) -> Picture | Missing:
        """Test images at the place of their posterior means in two dimensions, those of the layer next to the image."""

        def draw() -> Picture:
            means = self.model.posterior.mean(self.images).numpy()
            first = getattr(self.model.posterior, "latent_dims", (means.shape[1],))[0]
            points, labels = plane(means[:, :first])
            alt = (
                f"{len(points)} test images as points, some as thumbnails, by {labels[0]} and {labels[1] or 'nothing'}"
            )
            return chart(charts.latent_map(points, self._grey(self.images), labels), alt)

        return self._or_figure(draw, "latents.png", "Test images at the place of their posterior means")

    def extremes(self) -> tuple[list[Extreme], list[Extreme]]:
        """Test images of the highest and of the lowest log-likelihood, the most extreme first."""
        evaluated = per_example(self.folder)
        count = len(evaluated.log_likelihood)
        order = np.argsort(-evaluated.log_likelihood, kind="stable")
        chosen = np.concatenate([order[:_EXTREMES], order[::-1][:_EXTREMES]])
        images: dict[int, np.ndarray] = {}
        seen = 0

        def passing() -> Iterator[np.ndarray]:
            # Of a folder of shards there may be more than are held together.
            nonlocal seen
            record = evaluated.record
            for batch in evaluation_batches(self.folder, record["limit"], record["seed"]).as_numpy_iterator():
                images.update({n: batch[n - seen] for n in map(int, chosen) if seen <= n < seen + len(batch)})
                seen += len(batch)
                yield batch

        with value_errors():
            digest = data.digest_of_batches(passing(), count)
        if seen != count or evaluated.images not in (None, digest):
            raise ValueError(
                f"Expected the {count} test images that were evaluated. Received: {seen}, and not the same ones"
            )
        decoded = self.model.predict(np.stack([images[number] for number in map(int, chosen)]), verbose=0)
        found = []
        for number, reconstruction in zip(map(int, chosen), decoded, strict=True):
            value = float(evaluated.log_likelihood[number])
            of = f"test image {number}, log-likelihood {value:.1f} nats"
            image, decoded_image = plots.as_pictures(self._grey(np.stack([images[number], reconstruction])))
            found.append(Extreme(pixels(image, of), pixels(decoded_image, f"Reconstruction of {of}"), value, number))
        middle = len(found) // 2
        return found[:middle], found[middle:]

    def _grey(self, values: np.ndarray) -> np.ndarray:
        return self.model.generative.likelihood.to_grey(values)

    def _or_figure(self, draw: Callable[[], Picture], name: str, alt: str) -> Picture | Missing:
        """What `draw` gives; where it cannot, the figure of that name, and where there is none, why it cannot."""
        drawn, file = attempt(draw), self.folder / "figures" / name
        return stored(file.read_bytes(), alt) if isinstance(drawn, Missing) and file.is_file() else drawn


def _in_pairs_of_rows(both: np.ndarray, columns: int) -> np.ndarray:
    """Images `[N, ...]` and then as many others, as a row of the ones, a row of the others, and so on.

    Last rows are filled up with black, so that each is above its own.
    """
    event_shape, halves = both.shape[1:], both.reshape(2, -1, *both.shape[1:])
    missing = -halves.shape[1] % columns
    filled = np.pad(halves, [(0, 0), (0, missing)] + [(0, 0)] * len(event_shape))
    return filled.reshape(2, -1, columns, *event_shape).swapaxes(0, 1).reshape(-1, *event_shape)
