"""TFDS builders for the sets that TFDS lacks; importing them makes `tfds.builder("omniglot_28x28")` work."""

from keras_iwae.data.builders.ocr_letters import OcrLetters
from keras_iwae.data.builders.omniglot_28x28 import Omniglot28x28

__all__ = ["OcrLetters", "Omniglot28x28"]
