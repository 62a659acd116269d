"""Adam in one pass over the weights: where K and the batch are small, the update is a large part of a step."""

import contextlib

import keras
import tensorflow as tf

from keras_iwae.foundation import plain
from keras_iwae.models import replica_context


@keras.saving.register_keras_serializable("keras_iwae")
class FusedAdam(keras.optimizers.Adam):
    r"""Keras' Adam, whose update of a variable is one operation of TensorFlow's and not a dozen.

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$, $v \leftarrow \beta_2 v + (1 - \beta_2) g^2$,
    $\theta \leftarrow \theta - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \epsilon}$.

    Arguments, state and result are those of `keras.optimizers.Adam`, the result to rounding. Under several replicas it
    clips the gradient of all of them, where Keras' own clip each one's share.

    Args:
        *args: as for `keras.optimizers.Adam`, the learning rate first.
        **kwargs: as for `keras.optimizers.Adam`, without `amsgrad`.

    Raises:
        ValueError: if `amsgrad` is asked for, which has another update.

    Example:
        >>> model.compile(keras_iwae.training.FusedAdam(1e-3), steps_per_execution=20)

    References:
        Kingma, Ba (2015), Adam: a method for stochastic optimization, section 2, with the order of its last lines.
    """

    # Which `compile` asks for under a strategy.
    clips_whole_gradients = True

    def __init__(self, *args, **kwargs):
        super().__init__(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()})
        if self.amsgrad:
            raise ValueError("Invalid value received for `amsgrad`. Expected False. Received: True")

    def apply(self, grads, trainable_variables=None):
        """Take a step; what is the same for all variables is computed once."""
        if replica_context() is not None:
            grads = self._clipped_together(grads)
        step = tf.cast(self.iterations + 1, tf.float32)
        beta_1, beta_2, epsilon = map(tf.constant, (self.beta_1, self.beta_2, self.epsilon))
        powers = {"beta1_power": beta_1**step, "beta2_power": beta_2**step}
        shared = {"beta1": beta_1, "beta2": beta_2, "epsilon": epsilon, **powers}
        # A function, for a dict would be tracked by Keras.
        self._shared = lambda: shared
        super().apply(grads, trainable_variables)
        # Tensors of a graph that is made are not for another; each replica comes by here.
        with contextlib.suppress(AttributeError):
            del self._shared

    def _clipped_together(self, grads: list[tf.Tensor]) -> list[tf.Tensor]:
        """A replica's share of the clipped gradient of all replicas; it is short enough not to be clipped again."""
        replica = replica_context()
        if self.global_clipnorm is self.clipnorm is self.clipvalue is None:
            return grads
        whole = replica.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        if self.global_clipnorm is not None:
            whole, _ = tf.clip_by_global_norm(whole, self.global_clipnorm)
        elif self.clipnorm is not None:
            whole = [tf.clip_by_norm(one, self.clipnorm) for one in whole]
        else:
            whole = [tf.clip_by_value(one, -self.clipvalue, self.clipvalue) for one in whole]
        return [one / float(replica.num_replicas_in_sync) for one in whole]

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its two moments."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        settings = {**self._shared(), "lr": learning_rate, "grad": gradient}
        tf.raw_ops.ResourceApplyAdam(
            var=_resource(variable),
            m=_resource(self._momentums[index]),
            v=_resource(self._velocities[index]),
            **{name: tf.cast(value, dtype) for name, value in settings.items()},
        )


def _resource(variable: keras.Variable | tf.Variable) -> tf.Tensor:
    """The handle of a variable of Keras' or TensorFlow's."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
