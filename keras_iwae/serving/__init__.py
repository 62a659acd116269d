"""A trained model as files that others serve: a SavedModel for TF Serving, and other runtimes' own."""

from keras_iwae.serving.export import export_saved_model, load_saved_model
from keras_iwae.serving.runtimes import export_runtime

__all__ = ["export_runtime", "export_saved_model", "load_saved_model"]
