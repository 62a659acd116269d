"""A Keras model of images with a loss of its own: what it is given is checked, how it was compiled is kept."""

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import check_image_spec, check_images, checked_dataset, value_errors


class CheckedModel(keras.Model):
    """`keras.Model` whose `fit`, `evaluate` and `predict` refuse images outside [0, 1] or not of `event_shape`."""

    event_shape: tuple[int, ...]

    def compile(self, optimizer="adam", *, jit_compile="auto", **kwargs):
        """As `keras.Model.compile`, without losses and metrics of predictions: the objective is the loss.

        Args:
            optimizer: a Keras optimizer, by name or object.
            jit_compile: whether steps run in XLA; "auto" means on a GPU, also for a model that was saved on a CPU.
            **kwargs: `run_eagerly`, `steps_per_execution`, `auto_scale_loss`.

        Raises:
            ValueError: if a loss or metrics are given.
        """
        for argument in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(argument, None) is not None:
                raise ValueError(
                    f"Invalid value received for `{argument}`. Expected none: the loss is minus the bound of "
                    "`objective`, and the metrics are the bound's parts. Use a callback for more."
                )
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self._requested_jit_compile = jit_compile

    def get_compile_config(self):
        # Keras stores what "auto" meant on this machine.
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, validation_data=None, **kwargs):
        """As `keras.Model.fit`; images are checked to lie in [0, 1]."""
        if isinstance(x, tf.data.Dataset):
            # Keras' default, True, only makes it warn that it cannot shuffle a dataset.
            kwargs.setdefault("shuffle", False)
        with value_errors():
            validation_data = self._checked(validation_data, "validation_data")
            return super().fit(self._checked(x, "x"), *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`; the same data gives the same numbers at every call."""
        with value_errors():
            return super().evaluate(self._checked(x, "x"), *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`: reconstructed pixel probabilities, `[N, *event_shape]`."""
        with value_errors():
            return super().predict(self._checked(x, "x"), *args, **kwargs)

    def make_train_function(self, force=False):
        # A tf.function that creates variables, as the optimizer's would be, is traced twice.
        if not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def _checked(self, x, argument: str):
        if isinstance(x, tf.data.Dataset):
            return checked_dataset(x, self.event_shape, argument)
        if isinstance(x, (tuple, list)) and argument == "validation_data":
            return (check_images(x[0], argument, self.event_shape), *x[1:])
        if isinstance(x, (np.ndarray, tf.Tensor)):
            return check_images(x, argument, self.event_shape)
        return x

    def _images(self, data) -> tf.Tensor:
        """The images of a batch as a step gets it, with labels and weights or without."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        check_image_spec(x, self.event_shape)
        return tf.cast(x, tf.float32)
