"""Is it the same step on another device, in XLA or out of it? Bounds and gradients with the noise given from outside.

The same seed draws other numbers under XLA than outside it, so the draws z = mean + deviation * noise take theirs as an
argument.
"""

import numpy as np
from _network import Network, assign

# Sums of 784 pixels and 250 rows, in other orders: float32 holds about 7 digits of a bound of some hundred nats.
BOUND_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
# Estimator, K, in XLA or not, with TensorFloat-32 or without: a program of XLA takes long to compile on a GPU.
STEPS = (
    ("reparameterized", 5, False, False),
    ("reparameterized", 5, True, False),
    ("reparameterized", 5, False, True),
    ("dreg", 20, False, False),
    ("dreg", 20, True, False),
)


class GivenNoise:
    """A Gaussian posterior whose draws are mean + deviation * noise, with noise `[K, B, D]` from outside.

    Args:
        posterior: the model's own.
        noise: the draws of N(0, 1).
    """

    def __init__(self, posterior, noise):
        self.posterior, self.noise = posterior, noise
        self.trainable_variables = posterior.trainable_variables
        self.reparameterized, self.through_generative = True, False

    def distribution(self, x, training=False):
        given, noise = self.posterior.distribution(x, training), self.noise

        class Distribution:
            mean, stddev, log_prob = given.mean, given.stddev, given.log_prob

            @staticmethod
            def sample(shape, seed):
                return given.mean() + given.stddev() * noise

        return Distribution

    def reparameterize(self, distribution, z):
        return self.posterior.reparameterize(distribution, z)


def gradients(device: str, jit: bool, samples: int, estimator: str, batch: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean bound and all gradients, flat, of the exact step on a device, at the common first weights."""
    import tensorflow as tf

    import keras_iwae
    from keras_iwae.bounds import estimators, objectives
    from keras_iwae.bounds.gradients import bound_gradients

    with tf.device(device):
        model = keras_iwae.IWAE(batch.shape[1], num_samples=samples)
        assign(model, Network().weights())
        noise = np.random.default_rng(1).standard_normal((samples, len(batch), model.latent_dim)).astype(np.float32)

        @tf.function(jit_compile=jit)
        def step(x, noise):
            found = bound_gradients(
                GivenNoise(model.posterior, noise),
                model.generative,
                x,
                samples,
                tf.constant([0, 0]),
                objectives.get("iwae"),
                estimators.get(estimator),
            )
            bound = tf.reduce_mean(model.objective(found.terms.weights))
            return bound, tf.concat([tf.reshape(g, [-1]) for g in (*found.posterior, *found.generative)], 0)

        bound, flat = step(tf.constant(batch), tf.constant(noise))
        return float(bound), flat.numpy()


def verify(device: str, batch: np.ndarray) -> list[dict]:
    """What differs between the CPU and the device, with XLA and without, with and without TensorFloat-32."""
    import tensorflow as tf

    rows, references = [], {}
    for estimator, samples, jit, tensor_float in STEPS:
        what = estimator, samples
        if what not in references:
            tf.config.experimental.enable_tensor_float_32_execution(False)
            references[what] = gradients("CPU:0", False, samples, estimator, batch)
        reference, reference_flat = references[what]
        tf.config.experimental.enable_tensor_float_32_execution(tensor_float)
        bound, flat = gradients(device, jit, samples, estimator, batch)
        bound_error = abs(bound / reference - 1.0)
        gradient_error = float(np.linalg.norm(flat - reference_flat) / np.linalg.norm(reference_flat))
        within = bound_error < BOUND_TOLERANCE and gradient_error < GRADIENT_TOLERANCE
        row = {"device": device, "estimator": estimator, "num_samples": samples, "xla": jit}
        row |= {"tensor_float_32": tensor_float, "bound": bound, "bound_on_cpu": reference}
        rows.append(row | {"bound_error": bound_error, "gradient_error": gradient_error, "within_float32": within})
    return rows
