"""Methods of a posterior of a user's own, whose errors are of the argument `posterior`, whatever is wrong in them."""

from typing import Any

from keras_iwae.foundation import MARK
from keras_iwae.posteriors.base import Posterior


def tried(posterior: Posterior, method: str, *arguments: Any) -> Any:
    try:
        return getattr(posterior, method)(*arguments)
    # Whatever is wrong in a class of the user's own, it is this argument.
    except Exception as error:
        if str(error).startswith(MARK):
            raise
        if isinstance(error, NotImplementedError) and not str(error):
            raise wrong(posterior, f"`{method}`", "none") from error
        reason = " ".join(str(error).split())
        raise wrong(posterior, f"`{method}` that can be called", f"{type(error).__name__}: {reason}") from error


def wrong(posterior: Posterior, expected: str, received: str) -> ValueError:
    return ValueError(
        f"{MARK}posterior`. Expected a class with {expected}. Received: {type(posterior).__name__}, with {received}"
    )
