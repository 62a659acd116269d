"""Bernoulli likelihood: independent binary entries, the one of the IWAE paper."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import Support
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli_head import FEWEST_SAMPLES, bernoulli_head
from keras_iwae.likelihoods.bernoulli_logits import bernoulli_log_likelihood

tfd = tfp.distributions

_LEVELS = 0.0, 1.0


@keras.saving.register_keras_serializable("keras_iwae")
class BernoulliLikelihood(Likelihood):
    r"""$p(x|z) = \prod_d \sigma(l_d)^{x_d} (1 - \sigma(l_d))^{1 - x_d}$, logits $l(z)$.

    Grey levels between 0 and 1 are taken too, and give the cross-entropy that autoencoders are trained on; it is no
    density of them, for which there is the continuous Bernoulli.

    Args:
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Example:
        >>> model = IWAE((28, 28, 1), likelihood="bernoulli")

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.
    """

    support = Support(0.0, 1.0)
    discrete = True
    served_names = ("images", "probabilities")

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.Bernoulli:
        # TFP's Bernoulli is of integers by default, and truncates the grey levels of a NumPy array to 0 without a word.
        return tfd.Bernoulli(logits=parameters, dtype=tf.float32)

    def log_prob(self, x: tf.Tensor, features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        if not self.says_as(BernoulliLikelihood):
            return super().log_prob(x, features, mask)
        if self._fused(mask) and (features.shape[0] or 0) >= FEWEST_SAMPLES:
            return self._by_head(x)(features)
        flat = self._rows(x)
        logits = self(features)
        leading = tf.shape(logits)[: logits.shape.rank - len(self.event_shape)]
        logits = tf.reshape(logits, tf.concat([leading, [flat.shape[-1]]], axis=0))
        if mask is None:
            return bernoulli_log_likelihood(flat, logits)
        # A logit of 0 says log 1/2 of whatever it is asked, which is then taken off again.
        observed = tf.reshape(tf.cast(mask, tf.float32), tf.shape(flat))
        unseen = tf.reduce_sum(1.0 - observed, axis=-1)
        return bernoulli_log_likelihood(flat, logits * observed) + np.float32(np.log(2.0)) * unseen

    def log_prob_of(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
        own = type(self).log_prob is BernoulliLikelihood.log_prob and "log_prob" not in vars(self)
        if not (own and self.says_as(BernoulliLikelihood) and self._fused(mask)):
            return super().log_prob_of(x, mask)
        by_head = self._by_head(x)
        # Few that are known to be few; the last draws of many are of an unknown number.
        return lambda features: (
            self.log_prob(x, features) if (features.shape[0] or FEWEST_SAMPLES) < FEWEST_SAMPLES else by_head(features)
        )

    def _fused(self, mask: tf.Tensor | None) -> bool:
        if mask is not None or self.head is None or self.head.compute_dtype != "float32":
            return False
        # It asks whether its products are exact, and a GPU, where they save little, would wait for the host's answer.
        if tf.config.list_logical_devices("GPU"):
            return False
        # It goes by kernel and bias. A head may have been given an activation, which Keras' layer then applies.
        return self.head.activation in (None, keras.activations.linear)

    def _by_head(self, x: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        by_head = bernoulli_head(
            self._rows(x), tf.convert_to_tensor(self.head.kernel), tf.convert_to_tensor(self.head.bias)
        )
        # A decoder may be of another precision than the head, which then casts as every layer does.
        return lambda features: by_head(tf.cast(features, tf.float32))

    def _rows(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [-1, int(np.prod(self.event_shape))])

    def served(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        parameters = self(features)
        if self.says_as(BernoulliLikelihood):
            return {"probabilities": tf.sigmoid(parameters), "logits": parameters}
        zero, one = tf.unstack(self.level_probabilities(parameters), axis=-1)
        return {"probabilities": one, "logits": tf.math.log(one) - tf.math.log(zero)}

    def level_probabilities(self, parameters: tf.Tensor) -> tf.Tensor:
        if not self.says_as(BernoulliLikelihood):
            return tf.exp(tf.stack([self.entry_log_prob(level, parameters) for level in _LEVELS], axis=-1))
        return tf.stack([tf.sigmoid(-parameters), tf.sigmoid(parameters)], axis=-1)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        mean = np.clip(mean, 0.001, 0.999)
        return np.log(mean / (1.0 - mean))
