"""Posterior collapse: whether the encoder tells images apart at all, said in a sentence."""

from collections.abc import Sequence

import numpy as np

from keras_iwae.evaluation.diagnostics.information import MutualInformation
from keras_iwae.evaluation.diagnostics.numbers import numbers
from keras_iwae.evaluation.diagnostics.units import ACTIVE_UNIT_THRESHOLD
from keras_iwae.foundation import MARK

# Below this many nats the latents cannot even halve the images, for which log 2 = 0.69 would be needed.
_NOTHING = 0.1


def collapse_verdict(
    variances: Sequence[np.ndarray], information: MutualInformation, threshold: float = ACTIVE_UNIT_THRESHOLD
) -> str:
    """Say whether the posterior has collapsed: wholly, in some stochastic layer, or not.

    It has where no unit is active, or where even the upper estimate of I(x; z) is below 0.1 nats. A layer has where
    none of its units is active. The KL does not enter: a q(z|x) that is the same for every image and far from the prior
    costs KL and says nothing.

    Args:
        variances: for each stochastic layer the variances of its units' posterior means, `[D_l]`.
        information: of the same images.
        threshold: the variance above which a unit is active.

    Returns:
        a sentence that begins with "The posterior has collapsed", "Layer ... has collapsed" or "No collapse".

    Raises:
        ValueError: if there is no layer, or one is no vector of variances, `information` is something else, or the
            threshold is below 0.
    """
    if not isinstance(variances, (list, tuple, np.ndarray)) or not np.size(variances[:1]):
        raise ValueError(f"{MARK}variances`. Expected an array for each stochastic layer. Received: {variances!r}")
    layers = [numbers("variances", layer, "D", low=0.0) for layer in variances]
    if not isinstance(information, MutualInformation):
        kind = type(information).__name__
        raise ValueError(f"{MARK}information`. Expected what `mutual_information` gave. Received: a {kind}")
    numbers("threshold", threshold, low=0.0)
    active = [int((layer > threshold).sum()) for layer in layers]
    sizes = [len(layer) for layer in layers]
    known = f"between {information.lower:.1f} and {information.upper:.1f} nats about the image"
    if not sum(active) or information.upper < _NOTHING:
        return (
            f"The posterior has collapsed: {sum(active)} of {sum(sizes)} units are active, and the latents tell "
            f"{max(information.upper, 0.0):.2f} nats about the image at most."
        )
    silent = [i + 1 for i, count in enumerate(active) if not count]
    if silent:
        rest = ", ".join(f"layer {i + 1} has {n} of {sizes[i]} active" for i, n in enumerate(active) if n)
        names = ", ".join(map(str, silent))
        return f"Layer {names} has collapsed: no unit there is active; {rest}, and the latents tell {known}."
    counts = " + ".join(f"{n} of {size}" for n, size in zip(active, sizes, strict=True))
    return f"No collapse: {counts} units are active, and the latents tell {known}."
