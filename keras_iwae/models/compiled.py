"""`compile`, and what it settles until it is called again: how steps are taken, and the weights that they train."""

import keras

from keras_iwae.foundation import MARK, check_boolean, check_integer

# What `compile` is given and saves.
_COMPILED = "optimizer", "jit_compile", "steps_per_execution", "unrolled_steps_per_execution"


class CompiledModel(keras.Model):
    """`keras.Model` with a loss of its own, which refuses to be changed where a step would not follow."""

    def __setattr__(self, name, value):
        compiled = getattr(self, "_compiled_as_asked", False)
        if compiled and name in _COMPILED:
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none on a compiled model, whose steps are made with it and "
                f"which is saved with it: call compile({name}=...) again"
            )
        super().__setattr__(name, value)
        if compiled and name == "run_eagerly":
            # Made for the other way.
            self.train_function = self.test_function = self.predict_function = None

    def compile(self, optimizer="adam", *, jit_compile="auto", **kwargs):
        """As `keras.Model.compile`, without losses and metrics of predictions: the objective is the loss.

        Args:
            optimizer: a Keras optimizer, by name or object.
            jit_compile: whether steps run in XLA; "auto" means on a GPU, also for a model that was saved on a CPU.
            **kwargs: `run_eagerly`, `steps_per_execution`, `auto_scale_loss`.

        Raises:
            ValueError: if a loss or metrics are given.
        """
        for argument in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(argument, None) is not None:
                raise ValueError(
                    f"{MARK}{argument}`. Expected none: the loss is minus the bound of `objective`, and the metrics "
                    "are the bound's parts. Use a callback for more."
                )
        if optimizer is None:
            raise ValueError(f"{MARK}optimizer`. Expected a Keras optimizer or its name. Received: None")
        if jit_compile != "auto":
            check_boolean("jit_compile", jit_compile)
        check_integer("steps_per_execution", kwargs.get("steps_per_execution", 1))
        self._compiled_as_asked = False
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self._requested_jit_compile, self._compiled_as_asked = jit_compile, True

    def get_compile_config(self):
        # Keras stores what "auto" meant on this machine.
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force=False):
        if not self.trainable_variables:
            raise ValueError(
                f"{MARK}trainable`. Expected True for some layer with weights: there is nothing to train. Received: "
                f"{self.name}, all of whose weights are frozen"
            )
        # A tf.function that creates variables, as the optimizer's would be, is traced twice.
        if not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        trained = {variable.path for variable in self.trainable_variables}
        if self.train_function is None:
            self._trained = frozenset(trained)
        if trained != self._trained:
            raise _thawed(f"{len(trained)} weights to train in the place of {len(self._trained)}")
        known = {variable.path for variable in self.optimizer._trainable_variables}
        if not trained <= known:
            raise _thawed(f"an optimizer made for others than {min(trained - known)}")
        return super().make_train_function(force)


def _thawed(received: str) -> ValueError:
    # Keras' own rule, of which it says nothing: a step goes on training what it was traced with.
    return ValueError(
        f"{MARK}trainable`. Expected no change since `compile`, at which it takes effect: compile again, with a new "
        f"optimizer. Received: {received}"
    )
