"""Networks that a training step runs more than once, and which have to be the same network each time.

With `backward_samples=m` the K samples that weights are made of and the m that are differentiated go through the
generative model one after the other: another dropout mask or other statistics of the batch, and the weights are another
network's, so that the gradient is biased. So it would be where a posterior of one's own runs, for the density of draws,
a network that drew them with another mask. With "rws" the posterior sees images and dreams, and statistics that
training moves would be of both.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, is_own_class

# Samples of each of so many examples that are looked at.
_SAMPLES, _EXAMPLES = 4, 3
# Far above rounding, of half precision too, and far below what batches of others or other masks make.
_TOLERANCE = 0.02


def refuse_differing_runs(model: keras.Model) -> None:
    """Refuse networks whose second run in a training step would not be of the network of the first.

    Raises:
        ValueError: which names `backward_samples`, `estimator` or `posterior`, and the layer.
    """
    drawn, estimator = getattr(model, "backward_samples", None), getattr(model, "estimator", None)
    if drawn is not None and (found := _differs(model.generative)):
        raise ValueError(
            f"{MARK}backward_samples`. Expected None beside a decoder, prior or likelihood that is random in training, "
            "mixes the rows of a batch there, or has state that training moves: weights and gradients would be of two "
            f"networks. Received: {drawn} with {found}"
        )
    if estimator is not None and estimator.sleeps and (found := _moves_with_images(model)):
        raise ValueError(
            f"{MARK}estimator`. Expected another beside a posterior with state that training moves, which dreams would "
            f"move as images do. Received: 'rws' with {found}"
        )
    if estimator is not None and (found := _moves_with_densities(model)):
        raise ValueError(
            f"{MARK}posterior`. Expected a class whose `distribution(x, training)`, before it returns, runs what is "
            "random in training or has state that training moves: a density would be of another network than the draw. "
            f"Received: {type(model.posterior).__name__} with {found}"
        )


def _differs(generative: keras.Layer) -> str | None:
    """What in the generative model gives, for some of the samples, other numbers than for all of them."""
    x = _event(generative)
    z = generative.prior.sample(_SAMPLES * _EXAMPLES, tf.constant([0, 0]))
    z = tf.reshape(z, [_SAMPLES, _EXAMPLES, -1])

    def values(z: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            generative.decoder.name: generative.features(z, True),
            generative.likelihood.name: generative.log_likelihood(x, z, True),
            generative.prior.name: generative.log_prior(z, True),
        }

    def runs() -> list[dict[str, np.ndarray]]:
        # The first alone, as a backward pass over one sample has it.
        return [{name: np.asarray(part) for name, part in values(each).items()} for each in (z, z[:1])]

    (every, some), moved = _watched(generative, generative.variables, runs)
    if moved:
        return moved
    near = {name: np.allclose(part[:1], some[name], _TOLERANCE, _TOLERANCE) for name, part in every.items()}
    return next((name for name, same in near.items() if not same), None)


def _moves_with_images(model: keras.Model) -> str | None:
    x = _event(model.generative)
    # Masks of their own, of images and of dreams, are no fault: the two are terms of a sum.
    return _watched(model.posterior, model.posterior.weights, lambda: model.posterior.distribution(x, training=True))[1]


def _moves_with_densities(model: keras.Model) -> str | None:
    posterior = model.posterior
    # Those of this package run their encoder once, and have no such layers of their own.
    if not is_own_class(type(posterior)) or posterior.density == "none":
        return None
    x, every = _event(model.generative), posterior.variables
    q = _watched(posterior, every, lambda: posterior.distribution(x, training=True))[0]
    z = _watched(posterior, every, lambda: q.sample([_SAMPLES], seed=tf.constant([0, 1])))[0]
    # As in a step: TFP remembers of a draw what it came from, and of its values nothing.
    return _watched(posterior, every, lambda: q.log_prob(z if model.estimator.total else tf.identity(z)))[1]


def _event(generative: keras.Layer) -> tf.Tensor:
    return tf.zeros([_EXAMPLES, *generative.event_shape]) + generative.likelihood.support.nearest_to_zero


def _watched(part: keras.Layer, variables: list, run):
    """What `run` gives, and the innermost layer whose variables it moves, which are put back; `None` for none."""
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    given = run()
    moved = None
    for variable, value in zip(variables, before, strict=True):
        if not np.array_equal(keras.ops.convert_to_numpy(variable), value, equal_nan=value.dtype.kind == "f"):
            variable.assign(value)
            owner = [each for each in part._flatten_layers() if any(variable is own for own in each.variables)][-1]
            # The last: what training does not train, where a layer moves both, comes after what it does.
            moved = f"{owner.name}, a {type(owner).__name__}"
    return given, moved
