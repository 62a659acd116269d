"""What says how entries go missing, by name or as the user made it."""

from keras_iwae.foundation import MARK
from keras_iwae.likelihoods import SelfMasking


def mechanism(missingness: str | SelfMasking | None, missing: str | None, estimator: str) -> SelfMasking | None:
    """What says how entries go missing.

    Raises:
        ValueError: if it is none, or beside what would not hear of it.
    """
    if missingness is None:
        return None
    named = isinstance(missingness, str) and missingness == "self_masking"
    if not named and not isinstance(missingness, SelfMasking):
        expected = "'self_masking', a SelfMasking or None"
        raise ValueError(f"{MARK}missingness`. Expected {expected}. Received: {missingness!r}")
    if missing is None or (isinstance(estimator, str) and estimator == "rws"):
        beside = "a model made without missing='nan'" if missing is None else "'rws', whose dreams are complete"
        raise ValueError(f"{MARK}missingness`. Expected None beside {beside}. Received: {missingness!r}")
    return missingness if isinstance(missingness, SelfMasking) else SelfMasking(name="missingness")
