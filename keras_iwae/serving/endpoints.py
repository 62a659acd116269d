"""What an exported model answers: one function of tensors for each endpoint, and the tensors it takes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_iwae.evaluation import Proposal, digests_of, stream_log_weights
from keras_iwae.foundation import Purpose, key_for, moment
from keras_iwae.models import IWAE

Tensors = dict[str, tf.Tensor]


class Endpoint(NamedTuple):
    """One thing that is answered.

    Attributes:
        function: of tensors, gives tensors by name.
        inputs: specs of what it takes.
        number: one that it takes, or one for each column.
        samples: importance samples of each row, where it does not take `num_samples`; 0 where it draws none.
    """

    function: Callable[..., Tensors]
    inputs: tuple[tf.TensorSpec, ...]
    number: float | Sequence[float] = 0.0
    samples: int = 0

    @property
    def has_rows(self) -> bool:
        """Whether every input has a batch axis: what the row format and server-side batching ask for."""
        return all(spec.shape.rank > 0 for spec in self.inputs)

    @property
    def has_samples(self) -> bool:
        """Whether importance samples are drawn for its rows."""
        named = any(spec.name == "num_samples" for spec in self.inputs)
        return self.samples > 0 or (named and any(spec.shape.rank for spec in self.inputs))


def _positive(num_samples: tf.Tensor) -> tf.Tensor:
    message = "Invalid value received for `num_samples`. Expected an integer of at least 1. Received:"
    with tf.control_dependencies([tf.debugging.Assert(num_samples >= 1, [message, num_samples])]):
        return tf.identity(num_samples)


def _finite(latents: tf.Tensor) -> tf.Tensor:
    message = "Invalid value received for `latents`. Expected finite numbers. Received: NaN or infinity"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(latents)), [message])]):
        return tf.identity(latents)


def _own_keys(key: tf.Tensor, events: tf.Tensor) -> tf.Tensor:
    """A key for each example, int32 `[n, 2]`, of its entries: it has the same draws whatever its neighbours."""
    return tf.map_fn(lambda own: tf.random.fold_in(tf.random.fold_in(key, own[0]), own[1]), digests_of(events))


def endpoints(model: IWAE, proposal: Proposal) -> dict[str, Endpoint]:
    """The endpoints of `model`; the first is TF Serving's `serving_default` as well.

    Args:
        model: the model.
        proposal: what `log_likelihood` draws from.
    """
    likelihood, door = model.generative.likelihood, model.door
    # What events and their means are called in requests and answers.
    events_name, mean_name = likelihood.served_names

    def checked(events: tf.Tensor) -> tf.Tensor:
        return door.support.checked(events, events_name, door.missing)

    def drawn(num_samples: tf.Tensor, seed: tf.Tensor) -> Tensors:
        latents, mean, events = model.generative.sample(num_samples, key_for(Purpose.SAMPLES, seed))
        return {"latents": latents, mean_name: mean, events_name: events}

    def sample(seed):
        # One row at a time, not one batch: a row then depends on its own seed to the last bit, whatever its neighbours.
        event = tf.TensorSpec(model.event_shape, tf.float32)
        row = {"latents": tf.TensorSpec((model.latent_dim,), tf.float32), mean_name: event, events_name: event}
        one = tf.constant(1)
        return tf.map_fn(lambda s: tf.nest.map_structure(lambda t: t[0], drawn(one, s)), seed, fn_output_signature=row)

    def sample_n(num_samples, seed):
        return drawn(_positive(num_samples), seed)

    def decode(latents):
        return likelihood.served(model.generative.features(_finite(latents)))

    def encode(events):
        x = checked(events)
        posterior = model.posterior.distribution(x)
        mean, stddev = moment(posterior, "mean"), moment(posterior, "stddev")
        # What the class itself says where its distribution does not.
        found = {"mean": model.posterior.mean(x) if mean is None else mean}
        return found if stddev is None else {**found, "stddev": stddev}

    def reconstruct(events):
        return {mean_name: model(checked(events), training=False)}

    def log_likelihood(events, num_samples, seed):
        # TFP's draws divide by the number of rows: no row is answered from one that nobody sees.
        rows = tf.shape(events)[0]
        filler = tf.broadcast_to(
            door.support.nearest_to_zero, [tf.cast(tf.equal(rows, 0), tf.int32), *model.event_shape]
        )
        some = tf.concat([checked(events), filler], axis=0)
        key = key_for(Purpose.SERVED, seed)
        keys = _own_keys(key, some) if proposal.fitted else key
        result = stream_log_weights(model, some, _positive(num_samples), keys, proposal=proposal)
        found = {"log_likelihood": result.log_likelihood, "effective_sample_size": result.effective_sample_size}
        return {name: values[:rows] for name, values in found.items()}

    def integer(name, *shape):
        return tf.TensorSpec(shape, tf.int32, name)

    events = tf.TensorSpec((None, *model.event_shape), tf.float32, events_name)
    latents = tf.TensorSpec((None, model.latent_dim), tf.float32, "latents")
    found = {
        "sample": Endpoint(sample, (integer("seed", None),)),
        "sample_n": Endpoint(sample_n, (integer("num_samples"), integer("seed"))),
        "decode": Endpoint(decode, (latents,)),
        "encode": Endpoint(encode, (events,), door.support.nearest_to_zero),
        "reconstruct": Endpoint(reconstruct, (events,), door.support.nearest_to_zero),
    }
    if model.posterior.density != "none":
        found["log_likelihood"] = Endpoint(log_likelihood, (events, integer("num_samples"), integer("seed")))
    return found
