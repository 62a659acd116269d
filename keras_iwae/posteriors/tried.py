"""Methods of a posterior of a user's own, whose errors are of the argument `posterior`, whatever is wrong in them."""

from typing import Any

from keras_iwae.foundation import MARK
from keras_iwae.posteriors.base import Posterior


def tried(posterior: Posterior, method: str, *arguments: Any, of: Any = None) -> Any:
    """What a method gives, of the posterior or of the distribution that it made, `of`."""
    called = method if of is None else f"distribution(x).{method}"
    try:
        return getattr(posterior if of is None else of, method)(*arguments)
    # Whatever is wrong in a class of the user's own, it is this argument.
    except Exception as error:
        if str(error).startswith(MARK):
            raise
        if isinstance(error, NotImplementedError) and not str(error):
            raise wrong(posterior, f"`{called}`", "none") from error
        reason = " ".join(str(error).split())
        raise wrong(posterior, f"`{called}` that can be called", f"{type(error).__name__}: {reason}") from error


def wrong(posterior: Posterior, expected: str, received: str) -> ValueError:
    return ValueError(
        f"{MARK}posterior`. Expected a class with {expected}. Received: {type(posterior).__name__}, with {received}"
    )
