"""What a model answers where there are no random numbers of TensorFlow's: standard normal noise is an input."""

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation import Proposal
from keras_iwae.foundation import effective_sample_size, log_mean_exp, of_noise
from keras_iwae.models import LatentModel
from keras_iwae.serving.endpoints import Endpoint, endpoints

# Of those that every model has, the ones that draw nothing.
_WITHOUT_NOISE = ("decode", "encode", "reconstruct")
NAMES = (*_WITHOUT_NOISE, "sample", "log_likelihood")
# How far the log density of a draw may be from that of its noise, in nats and as a share.
_NATS, _SHARE = 1e-2, 1e-3


def noise_endpoints(model: LatentModel) -> tuple[dict[str, Endpoint], dict[str, str]]:
    """The endpoints of `model` without random operations, and of those that it cannot have, why not."""
    answered, refused = {name: endpoints(model, Proposal())[name] for name in _WITHOUT_NOISE}, {}
    events = answered["encode"].inputs[0]
    mean_name = model.generative.likelihood.served_names[1]
    width = model.latent_dim + model.posterior.auxiliary_dim

    def sample(noise):
        latents = model.generative.prior.of_noise(noise)[0]
        return {"latents": latents, mean_name: model.generative.mean(latents)}

    def log_likelihood(events, noise):
        z, log_q = of_noise(model.posterior.distribution(events), noise)
        log_weights = model.generative.log_joint(events, z) - log_q
        return {
            "log_likelihood": log_mean_exp(log_weights),
            "effective_sample_size": effective_sample_size(log_weights),
        }

    if why := _why_no_sample(model):
        refused["sample"] = why
    else:
        answered["sample"] = Endpoint(sample, (tf.TensorSpec((None, model.latent_dim), tf.float32, "noise"),))
    if why := _why_no_log_likelihood(model, width):
        refused["log_likelihood"] = why
    else:
        noise = tf.TensorSpec((None, None, width), tf.float32, "noise")
        answered["log_likelihood"] = Endpoint(log_likelihood, (events, noise))
    return answered, refused


def _why_no_sample(model: LatentModel) -> str:
    prior = model.generative.prior
    noise = _some_noise(5, model.latent_dim)
    try:
        z, log_prob = prior.of_noise(noise)
    # The second of a prior that is no distribution of TFP's.
    except (ValueError, NotImplementedError):
        return _refusal(prior)
    return "" if _agree(log_prob, prior.log_prob(z)) else _refusal(prior)


def _why_no_log_likelihood(model: LatentModel, width: int) -> str:
    posterior = model.posterior
    if posterior.density == "none":
        return f"a {type(posterior).__name__}, which has no density"
    rows = tf.broadcast_to(tf.constant(model.door.support.nearest_to_zero, tf.float32), [2, *model.event_shape])
    distribution = posterior.distribution(rows)
    try:
        z, log_prob = of_noise(distribution, _some_noise(3, 2, width))
    except ValueError:
        return _refusal(posterior)
    return "" if _agree(log_prob, distribution.log_prob(z)) else _refusal(posterior)


def _some_noise(*shape: int) -> tf.Tensor:
    return tf.random.stateless_normal(shape, [0, 0])


def _refusal(part) -> str:
    return f"a {type(part).__name__}, whose draws are no function of standard normal noise alone"


def _agree(one: tf.Tensor, other: tf.Tensor) -> bool:
    """Whether densities of draws are those of their noise, which of other noise than normal they are not."""
    return bool(np.allclose(one, other, rtol=_SHARE, atol=_NATS))
