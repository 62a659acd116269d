"""Training by the evidence lower bound with free bits: a unit is not pulled to its prior while it says little.

What is climbed, in nats and per example, is

    E_q log p(x|z) - sum_d max(nats, mean over a batch of KL(q(z_d|x) || N(0, 1))),

with one draw and the divergence by its formula. A unit below `nats` has no slope towards the prior, and 0 is the ELBO.
Kingma et al. (2016), Improved variational inference with inverse autoregressive flow.
"""

import keras
import tensorflow as tf

from keras_iwae import IWAE


class FreeBits(keras.Model):
    """A model with a diagonal Gaussian posterior and a standard normal prior, which `fit` trains by free bits.

    Args:
        model: whose weights are trained.
        nats: what a unit may say for nothing.
    """

    def __init__(self, model: IWAE, nats: float):
        super().__init__()
        self.trained, self.nats = model, nats
        self.noise = keras.random.SeedGenerator(model.seed)

    def call(self, x, training=False):
        """The log likelihood `[B]` of one draw, and the divergence of each unit `[B, D]`."""
        loc, scale = self.trained.posterior(x, training=training)
        z = loc + scale * keras.random.normal(tf.shape(loc), seed=self.noise)
        fit = self.trained.generative.log_likelihood(x, z[None], training)[0]
        return fit, 0.5 * (loc**2 + scale**2 - 1.0) - tf.math.log(scale)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        fit, divergence = y_pred
        return tf.reduce_sum(tf.maximum(self.nats, tf.reduce_mean(divergence, 0))) - tf.reduce_mean(fit)
