"""Models on the Hugging Face Hub, by an address."""

import os
from pathlib import Path
from typing import Any

from keras_iwae.foundation import MARK

_BEGINNING = "hf://"


def is_address(source: Any) -> bool:
    """Whether a model is named by its address on the Hub, "hf://USER/MODEL"."""
    return isinstance(source, (str, os.PathLike)) and str(source).startswith(_BEGINNING)


def fetched(address: str, argument: str) -> Path:
    """A folder of this machine with what the Hub has at an address; of it nothing is to be changed.

    Args:
        address: "hf://USER/MODEL".
        argument: what it was given as, for errors.

    Raises:
        ValueError: if the package huggingface_hub is not there, or what is at the address cannot be fetched.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ValueError(
            f"{MARK}{argument}`. Expected the package huggingface_hub, which {address} is read by: "
            "pip install huggingface_hub. Received: none"
        ) from error
    try:
        return Path(snapshot_download(address.removeprefix(_BEGINNING)))
    # Of the network, of the address, of what one may read: all say themselves what it was.
    except Exception as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(
            f"{MARK}{argument}`. Expected hf://USER/MODEL, a model on the Hugging Face Hub. Received: {address}, which "
            f"cannot be fetched ({cause})"
        ) from error
