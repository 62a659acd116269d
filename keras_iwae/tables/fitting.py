r"""The model of a table's rows, and how long it is trained.

The bound of rows that are trained on rises for ever; what is said of other cells gets worse again when the rows are
known by heart. A table therefore has a number of passes over it, and a large one a number of steps. The number was
chosen by looking at cells that were taken out, half of all, under one seed of each of three tables: their log score was
best at 340 passes of 340 and 675 on breast cancer (569 rows), at 180 of 180 and 360 on wine (178) and at 430 of 220 and
430 on diabetes (442). Rows held out in its place were tried first: the 26 of wine stopped it after 36 passes.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, untuned
from keras_iwae.likelihoods import GaussianLikelihood, SelfMasking, StudentTLikelihood
from keras_iwae.models import IWAE
from keras_iwae.tables.coding import Coding
from keras_iwae.tables.values import refusal
from keras_iwae.training import FusedAdam, StopWhereNotFinite

_PASSES, _FEWEST_STEPS = 300, 300
_RATE = 1e-3
# Rows of a step: more of a table of which they would not come round often.
_LEAST_BATCH, _LARGEST_BATCH, _STEPS_A_PASS = 64, 256, 80
# In standard deviations of a column. Where a decoder may be surer it learns the rows of a small table by heart.
_LEAST_SCALE = 0.1
# Between two records of the bound, at each of which the rate falls.
_TOGETHER = 50


class Fitting:
    """A model of the rows of a table that is trained on them as often as is asked, each time from the same start.

    Args:
        coding: of the table.
        encoded: its numbers, float32 `[N, D]`.
        latent_dim: number of latent units.
        hidden: units of the encoder's layers; the decoder's are the same in reverse.
        training_samples: K in training.
        balanced: whether training hears all columns alike; see `Coding.likelihood`.
        max_steps: the most steps of the optimizer; a small table has fewer, for 300 passes.
        seed: of the initial weights, the order of the rows and every draw.
        verbose: whether to show progress.
        self_masking: whether columns with gaps go missing by their own values; real ones are then Gaussian given z.

    Raises:
        ValueError: if columns are to go missing by their own values where none has a gap, or a count has.

    Attributes:
        model: the model.

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, section 4.
        Ipsen, Mattei, Frellsen (2021), not-MIWAE: deep generative modelling with missing not at random data.
    """

    def __init__(
        self,
        coding: Coding,
        encoded: np.ndarray,
        latent_dim: int,
        hidden: Sequence[int],
        training_samples: int,
        balanced: bool,
        max_steps: int,
        seed: int,
        verbose: bool,
        self_masking: bool,
    ):
        mechanism = SelfMasking(_with_gaps(coding, encoded)) if self_masking else None
        # With a closed form for what goes missing; a heavy tail would explain as well why values are not seen.
        family = GaussianLikelihood if self_masking else StudentTLikelihood
        real = family(scale="example", min_scale=_LEAST_SCALE, widened=True)
        self.model = IWAE(
            encoded.shape[1],
            latent_dim,
            hidden,
            num_samples=training_samples,
            likelihood=coding.likelihood(real, balanced=balanced),
            missing="nan",
            # What is missing says something.
            mask_input=self_masking,
            missingness=mechanism,
            seed=seed,
        )
        self.model.initialize_output_bias(np.nanmean(encoded, axis=0))
        self._start, self._seed, self._verbose = self.model.get_weights(), seed, verbose
        self._size = min(len(encoded), max(_LEAST_BATCH, min(_LARGEST_BATCH, len(encoded) // _STEPS_A_PASS)))
        wanted = max(_FEWEST_STEPS, _PASSES * len(encoded) // self._size)
        steps = min(max_steps, -(-wanted // _TOGETHER) * _TOGETHER)
        self._records = -(-steps // _TOGETHER)
        self._together = steps // self._records
        self._bound = "weighted_bound" if balanced else "bound"
        self.model.compile(FusedAdam(_RATE), steps_per_execution=self._together)

    def train(self, encoded: np.ndarray) -> list[dict[str, float]]:
        """Train the model, from its start, on rows `[N, D]` of as many cells as those that it was made for, or fewer.

        Returns:
            for every 50 steps, or somewhat fewer, a dictionary with `step` and `bound`, the mean of the steps' in nats;
            with balanced columns it is the `weighted_bound`.
        """
        self.model.set_weights(self._start)
        for state in self.model.optimizer.variables:
            # The learning rate is set at every record.
            state.assign(tf.zeros_like(state))
        rows, records = tf.data.Dataset.from_tensor_slices(encoded).shuffle(len(encoded), self._seed), self._records
        found = self.model.fit(
            untuned(rows.repeat().batch(self._size, drop_remainder=True)),
            epochs=records,
            steps_per_epoch=self._together,
            callbacks=[
                StopWhereNotFinite(),
                keras.callbacks.LearningRateScheduler(lambda n: 0.5 * _RATE * (1.0 + math.cos(math.pi * n / records))),
            ],
            verbose=2 if self._verbose else 0,
        )
        bounds = found.history[self._bound]
        return [{"step": float(self._together * (n + 1)), self._bound: bound} for n, bound in enumerate(bounds)]


def _with_gaps(coding: Coding, encoded: np.ndarray) -> tuple[int, ...]:
    """Numbers of the columns of which there is to be learned how they go missing: with gaps, and not constant."""
    gaps = np.isnan(encoded).any(axis=0) & ~np.array(coding.constant)
    if not gaps.any():
        raise ValueError(
            f"{MARK}missingness`. Expected None for a table without gaps in columns that vary. Received: 'self_masking'"
        )
    for place in np.flatnonzero(gaps):
        column = coding.schema.columns[place]
        if column.kind == "count":
            expected = "no gaps in a count beside missingness='self_masking'; say that it is 'real' or 'positive'"
            raise refusal(column.name, expected, "gaps")
    return tuple(int(place) for place in np.flatnonzero(gaps))
