"""The random stream of a model: what its steps are keyed by, and how it goes on where weights are loaded."""

import keras
import tensorflow as tf

from keras_iwae.foundation import Purpose, ReadsWeightsAsTheyAre, is_own_class, key_for
from keras_iwae.models.keras_methods import CheckedModel
from keras_iwae.models.replicas import replica_context, seen_by_all
from keras_iwae.posteriors import Posterior


class StreamingModel(ReadsWeightsAsTheyAre, CheckedModel):
    """A model whose draws are a function of its seed and of the steps that its weights have behind them.

    The steps are counted in a weight, so that weights which are loaded, with the model or into one that was made like
    it, go on as if training had never stopped. The seed and the length of the warm-up are what *this* model was made
    with: of another seed, it draws by that from here on, and of another warm-up, it starts that.
    """

    posterior: Posterior
    seed: int
    kl_warmup_steps: int = 0

    def _start_stream(self) -> None:
        # A Keras SeedGenerator is not saved with the model; a weight is, so a resumed run continues the same stream.
        self.rng = self.add_weight(
            shape=(2,), dtype="int64", trainable=False, autocast=False, name="rng", initializer="zeros"
        )

    def set_weights(self, weights):
        super().set_weights(weights)
        self._keep_warmup()

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self._keep_warmup()

    def make_train_function(self, force=False):
        # A checkpoint of TensorFlow's own assigns to weights, and nothing hears of it.
        self._keep_warmup()
        return super().make_train_function(force)

    def _keep_warmup(self) -> None:
        """Start the warm-up that this model was made with, where the weights are of one with another."""
        (steps, warmup), own = keras.ops.convert_to_numpy(self.rng), self.kl_warmup_steps
        self.rng.assign([steps if own in (0, warmup) else 0, own])

    def _kl_weight(self) -> tf.Tensor | float:
        """What the KL part is multiplied by in the step that comes next."""
        warmup = self.kl_warmup_steps
        return tf.minimum(1.0, (tf.cast(self.rng[0], tf.float32) + 1.0) / warmup) if warmup else 1.0

    def _next_seed(self, x: tf.Tensor) -> tf.Tensor:
        """The stateless seed of this training step, of examples `x`; the stream moves on."""
        # Batches without a known end run out in a step, which gets none: nothing may move on in that one.
        with tf.control_dependencies([x]):
            self.rng.assign_add([1, 0])
        # Below 0, where no purpose of `foundation.keys` is.
        return self._key_of_step(tf.stack([self.seed, -tf.cast(self.rng[0], tf.int32)]))

    def _evaluation_seed(self) -> tf.Tensor:
        """The stateless seed of this batch of `evaluate`."""
        # The number of examples seen in this pass keys the draws: batches differ, a second pass repeats.
        seen = tf.cast(tf.round(seen_by_all(self._seen)), tf.int32)
        return self._key_of_step(tf.random.fold_in(key_for(Purpose.EVALUATE, self.seed), seen))

    def _key_of_step(self, key: tf.Tensor) -> tf.Tensor:
        """The key of a step, which replicas share: each takes of the noise what its rows have.

        A posterior of a user's own draws noise that knows of no rows: under one key all replicas would have the same.
        """
        replica = replica_context()
        if replica is None or not is_own_class(type(self.posterior)):
            return key
        return tf.random.fold_in(key, replica.replica_id_in_sync_group)
