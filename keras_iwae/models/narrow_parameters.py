"""What a last activation leaves of a likelihood's parameters, where it is too little for them to say much."""

from collections.abc import Callable

import numpy as np

from keras_iwae.likelihoods import Likelihood

_BELOW_0 = "no number above 0, as of a log-sigmoid or log-softmax"
_WITHIN_2 = "numbers between -2 and 2 only, as of a tanh that is scaled"
SQUASHED: tuple[tuple[Callable[[np.ndarray], bool], str], ...] = (
    (lambda given: bool(((given >= 0.0) & (given <= 1.0)).all()), "numbers between 0 and 1 only, as of a sigmoid"),
    (lambda given: bool((given >= 0.0).all()), "no number below 0, as of a ReLU, softplus or exponential"),
    (lambda given: bool((np.abs(given) <= 1.0).all()), "numbers between -1 and 1 only, as of a tanh"),
    (lambda given: bool((given <= 0.0).all()), _BELOW_0),
    (lambda given: bool((np.abs(given) <= 2.0).all()), _WITHIN_2),
)


def squashes(given: np.ndarray, is_in: Callable[[np.ndarray], bool]) -> bool:
    """Whether all that is given is in a range, and not just 0, as of weights that start there."""
    return bool(given.any()) and is_in(given)


def is_constant(given: np.ndarray) -> bool:
    """Whether all draws of the latents, along the first axis, give the same."""
    return bool(((given == given[:1]) | np.isnan(given)).all())


def of_one(index: int, is_in: Callable[[np.ndarray], bool]) -> Callable[[np.ndarray], bool]:
    """The same of one parameter of all."""
    # A variance below 0, as of a normalization, makes NaN, which is in no range.
    return lambda given: is_in((one := given[..., index])[~np.isnan(one)])


def narrows(family: Likelihood, words: str) -> bool:
    """Whether this range is too narrow for what a family makes of it."""
    if words == _BELOW_0:
        # Logits of levels mean the same when they are normalized.
        return family.encoding != "one_hot"
    # A scale beside a location may be kept within bounds.
    return words != _WITHIN_2 or family.parameters == 1
