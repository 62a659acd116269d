"""What every model here is: a posterior, a generative model and a random stream, as a Keras model of examples."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_iwae import likelihoods, priors
from keras_iwae.foundation import (
    MARK,
    FixedArguments,
    Purpose,
    check_boolean,
    check_choice,
    check_integer,
    check_kept,
    check_seed,
    key_for,
)
from keras_iwae.likelihoods import Likelihood, SelfMasking
from keras_iwae.models.as_made import AsMade, as_given
from keras_iwae.models.compiled import refuse_unheard
from keras_iwae.models.components import make_components
from keras_iwae.models.door import Door
from keras_iwae.models.generative import Samples
from keras_iwae.models.given import freeze_as_given, refuse_shared
from keras_iwae.models.penalties import of_weights, refuse_activity_regularizers
from keras_iwae.models.repeated_runs import refuse_differing_runs
from keras_iwae.models.replicas import Batch
from keras_iwae.models.sizes import settle_hidden, settle_latent_dims, sizes
from keras_iwae.models.starting import StartingModel
from keras_iwae.models.stopping import first_not_finite
from keras_iwae.models.trackers import update_trackers
from keras_iwae.posteriors import Posterior, check_contract
from keras_iwae.priors import Prior


class LatentModel(FixedArguments, StartingModel):
    """A posterior and a generative model with samples, reconstructions and seeds; a subclass trains them.

    `objects` names what else in the configuration is an object, `always_dense` whether there is a third dense network.

    Args:
        event_shape: shape of one event, `(D,)` or `(H, W, C)`; an integer stands for a flat one.
        latent_dim: number of latent units; several numbers are as many stochastic layers; `None` is 50.
        hidden: units of the encoder's dense layers; the decoder's are the same in reverse; `None` is (200, 200).
        activation: their Keras activation, by name or callable; `None` is "tanh".
        num_samples: K, draws for each example in training and in `evaluate`.
        posterior: a name, or a Keras layer under the contract of `keras_iwae.posteriors`.
        likelihood: a name, or a layer of `keras_iwae.likelihoods`.
        missing: "nan" where NaN stands for an entry that was not observed; `None` refuses it.
        mask_input: whether the encoder sees which entries were observed.
        encoder: a Keras layer or model from events to features, in place of the dense one.
        decoder: a Keras layer or model from latents to features, in place of the dense one.
        seed: seed of the initial weights and of every draw; saved with the model.
        missingness: p(s|x) of what is observed, `None` where it says nothing of the rest.
        prior: p(z), a name or a layer of `keras_iwae.priors`; `None` is the one that goes with the posterior.
        **kwargs: passed to `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or a network does not fit.
    """

    objects: ClassVar[tuple[str, ...]] = ()
    always_dense: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("generative", "rng", "loss", "beta_logit", "missingness", "prior")

    def __init__(
        self,
        event_shape: int | Sequence[int],
        latent_dim: int | Sequence[int] | None,
        hidden: Sequence | None,
        activation,
        num_samples: int,
        posterior: str | Posterior,
        likelihood: str | Likelihood,
        missing: str | None,
        mask_input: bool,
        encoder: keras.Layer | None,
        decoder: keras.Layer | None,
        seed: int,
        missingness: SelfMasking | None = None,
        prior: str | Prior | None = None,
        /,  # By name a subclass takes those that it has.
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not tf.as_dtype(self.dtype_policy.compute_dtype).is_floating:
            raise ValueError(f"{MARK}dtype`. Expected a floating type or policy. Received: {self.dtype_policy.name!r}")
        self.event_shape = sizes("event_shape", event_shape)
        latent_dims = settle_latent_dims(posterior, latent_dim)
        hidden, activation = settle_hidden(
            hidden, activation, posterior, len(latent_dims), encoder, decoder, always=self.always_dense
        )
        self.num_samples = check_integer("num_samples", num_samples)
        self.seed = check_seed("seed", seed)
        check_choice("missing", missing, (None, "nan"))
        mask_input = check_boolean("mask_input", mask_input)
        if mask_input and missing is None:
            raise ValueError(f"{MARK}mask_input`. Expected False for a model without missing='nan'. Received: True")
        self.missing = missing
        self.posterior, self.generative = make_components(
            posterior,
            self.event_shape,
            latent_dims,
            hidden,
            activation,
            encoder,
            decoder,
            likelihoods.get(likelihood),
            missing,
            mask_input,
            self.seed,
            self.dtype_policy,
            missingness,
            prior,
        )
        self.latent_dim = self.generative.latent_dim
        # Not a dictionary: Keras would track the networks in it, and save them there.
        self._made_with = SimpleNamespace(
            event_shape=self.event_shape,
            latent_dim=latent_dims if len(latent_dims) > 1 or isinstance(latent_dim, Sequence) else latent_dims[0],
            hidden=hidden,
            activation=activation and keras.activations.serialize(keras.activations.get(activation)),
            num_samples=self.num_samples,
            posterior=as_given(posterior),
            likelihood=as_given(likelihood),
            missing=missing,
            mask_input=mask_input,
            encoder=as_given(encoder),
            decoder=as_given(decoder),
            seed=self.seed,
        )
        self._start_stream()

    @property
    def door(self) -> Door:
        return Door(self.event_shape, self.generative.likelihood.support, self.missing is not None)

    def _track(self, *names: str) -> None:
        """Report means over examples under these names, `loss` among them."""
        # Of float32 whatever Keras' default is, as what they are means of.
        self._trackers = {name: keras.metrics.Mean(name=name, dtype="float32") for name in names}
        self._seen = keras.metrics.Sum(name="seen", dtype="float32")

    @property
    def metrics(self) -> list[keras.Metric]:
        return [*self._trackers.values(), self._seen]

    def build(self, input_shape=None):
        self.posterior.build((None, *self.event_shape))
        self.generative.build((None, self.latent_dim))
        freeze_as_given(self)
        check_contract(self.posterior, self.event_shape)
        priors.check_contract(self.generative.prior)
        self._as_made = AsMade(self)
        self._check_kept()
        refuse_unheard(self)
        refuse_activity_regularizers(self)
        refuse_differing_runs(self)
        self._keep_warmup()
        self.built = True

    def _check_kept(self) -> None:
        parts = {id(self): "model", id(self.posterior): "posterior", id(self.generative.likelihood): "likelihood"}
        for layer in self._flatten_layers():
            check_kept(parts.get(id(layer), layer.name), layer)

    def call(self, events, training=False):
        """E[x|z], `[B, *event_shape]`, at the posterior mean of each example."""
        return self.generative.mean(self.posterior.mean(events, training), training)

    def sample(self, num_samples: int, seed: int = 0) -> Samples:
        """`Samples(latents, mean, events)` from the prior, decoded; the same seed gives the same draws."""
        self.check_finite()
        return self.generative.sample(check_integer("num_samples", num_samples), key_for(Purpose.SAMPLES, seed))

    def _loss_scale(self) -> tf.Tensor:
        """What gradients are multiplied by: a loss-scaling optimizer's factor."""
        return self.optimizer.scale_loss(1.0)

    def _penalty(self) -> tf.Tensor:
        """Sum of the regularizers' penalties."""
        return of_weights(self)

    def _descend(self, slopes: list[tf.Tensor], scale: tf.Tensor) -> tf.Tensor:
        """Take a step down `slopes`, in the order of the trainable variables, and down the penalty; give the penalty.

        The penalty is the one before the step, as the bound is. No variable moves before every gradient is there:
        TensorFlow's graph optimizer drops the edge from the read of a variable to its update where no gradient of that
        variable comes of the read, so that another part's gradient (RWS, whose dreams the decoder makes) would now
        and then see half a step.
        """
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            penalty = self._penalty()
            # The optimizer sums over replicas, all of which have it.
            scaled = scale / self.distribute_strategy.num_replicas_in_sync * penalty
        # None where nothing is penalized: zeros to add would be a pass over all weights.
        penalties = tape.gradient(scaled, [variable.value for variable in variables])
        slopes = [one if other is None else one + other for one, other in zip(slopes, penalties, strict=True)]
        # As in `_next_seed`: the optimizer counts its steps.
        with tf.control_dependencies(slopes[:1]):
            self.optimizer.apply_gradients(zip(tf.tuple(slopes), variables, strict=True))
        return penalty

    def _report(self, values: dict[str, tf.Tensor], batch: Batch) -> dict[str, tf.Tensor]:
        """Update the trackers with an entry an example, so that a short last batch does not count like a full one."""
        reported = {name: tracker for name, tracker in self._trackers.items() if name in values}
        update_trackers(reported, self._seen, values, batch)
        return {name: tracker.result() for name, tracker in reported.items()}

    def check_finite(self, argument: str = "model") -> None:
        """Refuse to go on with weights that are not finite, as training that ran away leaves them.

        Raises:
            ValueError: which names the first such weight.
        """
        if broken := first_not_finite(self):
            raise ValueError(
                f"{MARK}{argument}`. Expected finite weights. Received: NaN or infinity in {broken}; train "
                "again with a lower learning rate, or go back to an earlier checkpoint"
            )

    def export(self, *args, **kwargs):
        """Refused: Keras would export `call` alone.

        Raises:
            ValueError: always; it names what there is in its place.
        """
        raise ValueError(
            "Invalid call of `export`. Expected keras_iwae.export_saved_model(model, path), which writes all "
            "endpoints. Received: model.export"
        )

    def get_config(self):
        refuse_shared(self)
        return {**super().get_config(), **self._as_made.config(self)}

    @classmethod
    def from_config(cls: Any, config):
        # An object is a dictionary there, a name is a string.
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("posterior", "likelihood", "encoder", "decoder", *cls.objects)
            if not isinstance(config[name], str)
        }
        trainable = config.get("trainable_layers")
        model = cls(**{name: value for name, value in {**config, **parts}.items() if name != "trainable_layers"})
        # Those that hold others come before them.
        for layer, flag in zip(model._flatten_layers(), trainable or (), strict=bool(trainable)):
            layer.trainable = flag
        return model
