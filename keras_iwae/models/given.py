"""What is given as a model, and is none."""

from typing import Any

from keras_iwae.foundation import MARK


def check_model(model: Any) -> None:
    """Refuse what is no model of this package, nor has its parts, where one is to be judged.

    Raises:
        ValueError: which names `model`.
    """
    if not all(hasattr(model, part) for part in ("posterior", "generative", "check_finite")):
        raise ValueError(f"{MARK}model`. Expected an IWAE or an AVB. Received: a {type(model).__name__}")
