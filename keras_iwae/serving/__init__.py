"""A trained model as a SavedModel for TF Serving: endpoints, versions, warm-up requests."""

from keras_iwae.serving.export import export_saved_model, load_saved_model

__all__ = ["export_saved_model", "load_saved_model"]
