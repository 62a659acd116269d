"""The VampPrior: a mixture of the posteriors of examples that are learned."""

import contextlib
import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import (
    MARK,
    DiagonalGaussian,
    Support,
    check_integer,
    check_seed,
    check_width,
    gaussian_log_probs,
    gaussian_mixture_log_prob,
    is_known,
    normal_of_rows,
    uniform_of_rows,
)
from keras_iwae.networks import derived_seed
from keras_iwae.priors.base import Prior
from keras_iwae.priors.mixture import NUM_COMPONENTS

# A component is unused that holds less of all examples than this, of one. Two that are made of one lie apart by so much
# of the spread of the examples.
_UNUSED = 0.01
_APART = 0.01
# Examples that are encoded at a time.
_ROWS = 1000
# TensorFlow traces each replica in a thread of its own.
_of_thread = threading.local()


class _Within(keras.constraints.Constraint):
    """What keeps pseudo-inputs within a support. Keras before 3.13 takes no function for it."""

    def __init__(self, support: Support):
        self._support = support

    def __call__(self, w):
        return keras.ops.clip(w, self._support.low, self._support.high)


@keras.saving.register_keras_serializable("keras_iwae")
class VampPrior(Prior):
    r"""$p(z) = \frac1M \sum_{m=1}^M q(z|u_m)$, the posterior of the model at M pseudo-inputs u, which are learned.

    The best prior for a given posterior is its mean over the data, $\frac1N \sum_n q(z|x_n)$; this is that of fewer
    examples. The encoder has a gradient through the prior too, whose pseudo-inputs it sees as at evaluation: without
    dropout, and with the statistics that it has kept. Pseudo-inputs stay within the support of the likelihood,
    and may lie between its whole numbers. Without `LatentModel.initialize_pseudo_inputs`, by which they start as
    training examples, they start as noise. `restart_unused_pseudo_inputs` moves those that hold none.

    Args:
        latent_dim: D, the number of latent units.
        num_components: M, the number of pseudo-inputs.
        seed: seed of the initial pseudo-inputs.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if a number is no positive integer.

    Example:
        >>> model = IWAE((8, 8, 1), latent_dim=10, prior=VampPrior(10, num_components=200))
        >>> model.initialize_pseudo_inputs(keras_iwae.data.images("digits", "train") / 255.0)

    References:
        Tomczak, Welling (2018), VAE with a VampPrior, equations 9 and 10.
    """

    through_posterior = True

    def __init__(self, latent_dim: int, num_components: int = NUM_COMPONENTS, seed: int = 0, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.num_components, self.seed = check_integer("num_components", num_components), check_seed("seed", seed)
        self._posterior: Any = None

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components, "seed": self.seed}

    def of_model(self, distribution, event_shape: tuple[int, ...], support: Support) -> None:
        """Say whose posterior it is a mixture of: `distribution(x)`, of such examples.

        Raises:
            ValueError: if it was built in another model.
        """
        # Not built, it was given to a constructor that then refused something.
        if self._posterior is not None and self.built:
            raise ValueError(
                f"{MARK}prior`. Expected a VampPrior of its own, as it is made of the posterior of one model. "
                "Received: one that was built in another"
            )
        # A function and not the layer, whose weights would count as the prior's.
        self._posterior = distribution, event_shape, support

    def build(self, input_shape):
        _, event_shape, support = self._of_model()
        noise = keras.initializers.RandomUniform(0.0, 1.0, derived_seed(self.seed, 0))
        if not support.bounded:
            noise = keras.initializers.RandomNormal(seed=derived_seed(self.seed, 0), stddev=1.0)
        within = _Within(support)

        def start(shape, dtype):
            values = noise(shape, dtype)
            return within(support.low + (support.high - support.low) * values if support.bounded else values)

        self.pseudo_inputs = self.add_weight(
            shape=(self.num_components, *event_shape),
            initializer=start,
            # After a step, so that the gradient of an entry at an end of the range is what it would be anywhere.
            constraint=within,
            name="pseudo_inputs",
            dtype="float32",
            autocast=False,
        )
        self.built = True

    def start_from(self, examples: np.ndarray, seed: int) -> None:
        """Let the pseudo-inputs be examples that are drawn without replacement, float32 `[N, *event_shape]`."""
        chosen = np.random.default_rng(seed).choice(self.whole(examples), self.num_components, replace=False)
        self.pseudo_inputs.assign(examples[np.sort(chosen)])

    def restart_unused(self, examples: np.ndarray, seed: int) -> np.ndarray:
        """See `LatentModel.restart_unused_pseudo_inputs`; which they were."""
        whole, rng, components = self.whole(examples), np.random.default_rng(seed), self._components()
        held = np.zeros(self.num_components)
        for rows in np.split(whole, range(_ROWS, len(whole), _ROWS)):
            q = self._of_model()[0](tf.constant(examples[rows]))
            z = q.loc + q.scale.diag * rng.standard_normal(q.loc.shape, np.float32)
            each = gaussian_log_probs(z, components.loc, tf.math.log(components.scale.diag))
            held += tf.reduce_sum(tf.nn.softmax(each), axis=0).numpy()
        unused, pseudo_inputs = np.flatnonzero(held < _UNUSED), self.pseudo_inputs.numpy()
        if unused.size:
            split = np.resize(np.argsort(-held)[: len(held) - unused.size], unused.size)
            spread = _APART * examples[whole].std(axis=0)
            pseudo_inputs[unused] = pseudo_inputs[split] + spread * rng.standard_normal(pseudo_inputs[split].shape)
            self.pseudo_inputs.assign(_Within(self._of_model()[2])(pseudo_inputs))
        return unused

    def whole(self, examples: np.ndarray) -> np.ndarray:
        """Which examples have no gaps; enough of them."""
        whole = np.flatnonzero(~np.isnan(examples.reshape(len(examples), -1)).any(axis=1))
        if len(whole) < self.num_components:
            raise ValueError(
                f"{MARK}examples`. Expected at least as many without gaps as the VampPrior has components, "
                f"{self.num_components}. Received: {len(whole)}"
            )
        return whole

    def _of_model(self):
        if self._posterior is None:
            raise ValueError(
                "Invalid call of `VampPrior`. Expected it in a model, of whose posterior it is a mixture. "
                "Received: one alone"
            )
        return self._posterior

    @contextlib.contextmanager
    def worked_out(self):
        before = getattr(_of_thread, "worked_out", None)
        _of_thread.worked_out = self, self._components()
        try:
            yield
        finally:
            _of_thread.worked_out = before

    def _components(self) -> DiagonalGaussian:
        held = getattr(_of_thread, "worked_out", None)
        if held is not None and held[0] is self:
            return held[1]
        found = self._of_model()[0](self.pseudo_inputs.value)
        if not is_known(found, DiagonalGaussian):
            raise ValueError(
                f"{MARK}prior`. Expected another than 'vamp' beside a posterior that is no diagonal Gaussian given x. "
                f"Received: a VampPrior beside a posterior that gives a {type(found).__name__}"
            )
        return found

    def log_prob(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`."""
        check_width("latents", z, self.latent_dim)
        components = self._components()
        share = -tf.math.log(tf.cast(self.num_components, tf.float32))
        return gaussian_mixture_log_prob(z, components.loc, tf.math.log(components.scale.diag), share)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """N draws, float32 `[N, D]`; `seed`, int32 `[2]`, is a stateless one."""
        which_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        components = self._components()
        which = tf.cast(self.num_components * uniform_of_rows(which_seed, [num_samples], axis=0), tf.int32)
        noise = normal_of_rows(noise_seed, [num_samples, self.latent_dim], axis=0)
        return tf.gather(components.loc, which) + tf.gather(components.scale.diag, which) * noise
