"""What the package's own distributions of the entries of an event are to TFP: scalar, float32, not reparameterized."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp


class EntryDistribution(tfp.distributions.Distribution):
    """A distribution of single numbers, whose `_log_prob`, `_sample_n` and moments are the family's.

    Args:
        parameters: the arguments of the family's constructor, of which TFP makes copies and slices.
        name: of its operations.
    """

    def __init__(self, parameters: dict[str, Any], name: str):
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfp.distributions.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)
