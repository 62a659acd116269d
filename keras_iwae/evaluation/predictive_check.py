"""Predictive checks: what data sets that the model makes say of themselves, beside what the data say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, Purpose, check_callable, check_integer, float32_products, key_for
from keras_iwae.models import LatentModel, check_model


@dataclass(frozen=True)
class PredictiveCheck:
    """Statistics of a data set and of R replicates of it.

    Attributes:
        observed: each of the data, by name.
        replicated: each of the replicates, by name, `[R]`.
    """

    observed: Mapping[str, float]
    replicated: Mapping[str, np.ndarray]

    @property
    def expected(self) -> dict[str, float]:
        """Means over replicates."""
        return {name: float(values.mean()) for name, values in self.replicated.items()}

    @property
    def p_values(self) -> dict[str, float]:
        """Two-sided: twice the share of replicates that lie no nearer to the middle on the data's side, at most 1.

        The data count as one replicate, so that none is 0: the smallest is 2 / (R + 1).
        """
        found = {}
        for name, values in self.replicated.items():
            sides = (values <= self.observed[name]).sum(), (values >= self.observed[name]).sum()
            found[name] = min(1.0, 2.0 * (1 + int(min(sides))) / (len(values) + 1))
        return found


@float32_products()
def predictive_check(
    model: LatentModel,
    x: np.ndarray,
    num_replicates: int = 200,
    seed: int = 0,
    progress: Callable[[int], object] = lambda done: None,
) -> PredictiveCheck:
    r"""Hold statistics T(x) of data against those of replicates, data sets of as many examples from the fitted model.

    $p = 2 \min\{P(T(x^{rep}) \le T(x)),\, P(T(x^{rep}) \ge T(x))\}$ with new latents for each replicate,
    $z \sim p(z)$, $x^{rep} \sim p(x|z)$: what prior, decoder and likelihood make of the data together. Where the data
    have gaps, the replicates have the same.

    The statistics are mean and standard deviation (s.d.) over examples of four numbers of an example: the mean of its
    entries, their standard deviation, the largest, and how far apart neighbours are, where an event has height and
    width and neighbours were observed. A small p says that the model makes data unlike these; how unlike is the
    difference of the two numbers.

    Args:
        model: the model.
        x: held-out examples, `[N, *event_shape]`; all are held at once, a few hundred are a good number.
        num_replicates: R.
        seed: the same seed gives the same replicates.
        progress: called with the number of replicates that each step has finished.

    Returns:
        `PredictiveCheck`.

    Raises:
        ValueError: if fewer than 2 examples have an entry, they are none that the model takes, `num_replicates` is
            below 1, or the model learns how its entries go missing, so that replicates would not have these gaps.

    Example:
        >>> predictive_check(model, images).p_values

    References:
        Gelman, Meng, Stern (1996), Posterior predictive assessment of model fitness via realized discrepancies,
        section 2 (new latents for replicates: section 2.3).
    """
    check_model(model)
    check_callable("progress", progress)
    num_replicates = check_integer("num_replicates", num_replicates)
    model.check_finite()
    if model.generative.missingness is not None:
        raise ValueError(
            f"{MARK}model`. Expected one for which gaps say nothing: replicates are given those of `x`. Received: one "
            f"with a {type(model.generative.missingness).__name__}"
        )
    x = model.door.array(x, "x")
    if seen_examples(x) < 2:
        raise ValueError(
            f"{MARK}x`. Expected at least 2 examples of which something was observed. Received: {seen_examples(x)}"
        )
    key, gaps = key_for(Purpose.PREDICTIVE, seed), np.isnan(x)
    specs = tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)
    replicate = model.traced("replicate", lambda count, key: model.generative.sample(count, key).events, specs)
    found = []
    for number in range(num_replicates):
        events = replicate(tf.constant(len(x)), tf.random.fold_in(key, number)).numpy()
        found.append(_statistics(np.where(gaps, np.nan, events) if gaps.any() else events))
        progress(1)
    observed = _statistics(x)
    return PredictiveCheck(observed, {name: np.array([each[name] for each in found]) for name in observed})


def seen_examples(x: np.ndarray) -> int:
    """Of how many of the examples `[N, *event_shape]` some entry was observed."""
    return int((~np.isnan(x)).reshape(len(x), -1).any(axis=1).sum())


def _statistics(x: np.ndarray) -> dict[str, float]:
    """Of a data set `[N, *event_shape]`, with NaN for gaps."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    # An example without any entry says nothing.
    flat = flat[~np.isnan(flat).all(axis=1)]
    of_examples = {
        "mean": np.nanmean(flat, axis=1),
        "spread": np.nanstd(flat, axis=1),
        "largest": np.nanmax(flat, axis=1),
    }
    if x.ndim > 2:
        steps = [np.abs(np.diff(x, axis=axis)).reshape(len(x), -1) for axis in (1, 2)]
        apart = np.concatenate(steps, axis=1)
        apart = apart[~np.isnan(apart).all(axis=1)]
        # Of the data and of every replicate, which have the same gaps.
        if len(apart):
            of_examples["roughness"] = np.nanmean(apart, axis=1)
    found = {}
    for name, values in of_examples.items():
        found[name], found[f"{name}, s.d."] = float(values.mean()), float(values.std())
    return found
