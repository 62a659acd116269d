"""`compile`, and what it settles until it is called again: how steps are taken, and the weights that they train."""

import contextlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK, check_boolean, check_integer
from keras_iwae.models.graphs import KeepsGraphs
from keras_iwae.models.joined_steps import joined_steps
from keras_iwae.models.repeated_runs import refuse_differing_runs
from keras_iwae.models.replicas import is_distributed, number_of_replicas, refuse_optimizer, refuse_under_replicas
from keras_iwae.models.weights_files import check_weights_file

# What `compile` is given and saves.
_COMPILED = "optimizer", "jit_compile", "steps_per_execution", "unrolled_steps_per_execution"

# What a step of Keras' own calls, and one of this package does not.
_NOT_CALLED = "compute_loss", "compute_metrics", "get_metrics_result", "stateless_compute_loss"
# What is for users to call: steps, evaluations and what is served go by the parts.
_FOR_USERS = "log_weights", "log_terms", "sample"
_PACKAGE = __name__.split(".")[0]


class CompiledModel(KeepsGraphs, keras.Model):
    """`keras.Model` with a loss of its own, which refuses to be changed where a step would not follow."""

    def __setattr__(self, name, value):
        compiled = getattr(self, "_compiled_as_asked", False)
        if compiled and name in _COMPILED:
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none on a compiled model, whose steps are made with it and "
                f"which is saved with it: call compile({name}=...) again"
            )
        try:
            super().__setattr__(name, value)
        except ValueError as error:
            if "add new elements of state" not in str(error):
                raise
            raise ValueError(
                f"Invalid assignment to `{name}`. Expected no layer, metric or variable: the model is made with all "
                "that its steps ask and its files hold. Use a callback to report more, and the arguments `encoder`, "
                f"`decoder`, `posterior` and `likelihood` for layers. Received: a {type(value).__name__}"
            ) from None
        if compiled and name == "run_eagerly":
            # Made for the other way.
            self.train_function = self.test_function = self.predict_function = None

    def __delattr__(self, name):
        if getattr(self, "_compiled_as_asked", False) and name in _COMPILED:
            raise AttributeError(f"Invalid deletion of `{name}`. Expected none on a compiled model")
        super().__delattr__(name)

    def save(self, filepath, *args, **kwargs):
        """As `keras.Model.save`, of files that end in .keras: of the older format a model cannot be made again.

        Raises:
            ValueError: which names `filepath`, or the part with a layer that no configuration says as it is now.
        """
        # To the Hub, or to a folder.
        elsewhere = str(filepath).startswith("hf://") or kwargs.get("zipped") is False
        if not elsewhere and not str(filepath).endswith(".keras"):
            raise ValueError(f"{MARK}filepath`. Expected a file that ends in .keras. Received: {filepath}")
        # What is refused there is so before Keras opens the file, which it would leave behind.
        self.get_config()
        return super().save(filepath, *args, **kwargs)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """As `keras.Model.load_weights`, of a file that a model with the same weights wrote.

        Raises:
            ValueError: if there are others in it, or some of this model's are not, without `skip_mismatch`.
        """
        if not skip_mismatch:
            check_weights_file(self, filepath)
        super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)

    def quantize(self, *args, **kwargs):
        """Refused: what is quantized is trained no more, and a model here is one that trains.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "Invalid call of `quantize`. Expected none: quantized weights would not be trained any more. Received: "
            "model.quantize"
        )

    def compute_loss(self, *args, **kwargs):
        """Refused: Keras' is a loss of predictions.

        Raises:
            ValueError: always; it names what there is in its place.
        """
        raise ValueError(
            "Invalid call of `compute_loss`. Expected `test_on_batch` or `evaluate`, which report a loss of examples, "
            "or in a step of your own the sum of `model.losses`, its penalties. Received: model.compute_loss"
        )

    def compile(self, optimizer="adam", *, jit_compile="auto", **kwargs):
        """As `keras.Model.compile`, without losses and metrics of predictions: the objective is the loss.

        What was done to a layer before, as another activation, `enable_lora` or `adapt`, holds for steps, evaluations
        and exports from here on. Settings of layers are saved of a network that was given, and where `save` has no
        words for one it refuses it; LoRA is saved in the kernel, all of which a loaded model trains.

        Args:
            optimizer: a Keras optimizer, by name or object.
            jit_compile: whether steps run in XLA; "auto" means on a GPU, also for a model that was saved on a CPU. The
                steps of a call, of which there are `steps_per_execution`, are then one program, unless `train_step` is
                a user's own.
            **kwargs: `run_eagerly`, `steps_per_execution`, `auto_scale_loss`.

        Raises:
            ValueError: if a loss or metrics are given, a class of the user's own overrides what steps do not call, or a
                network that was frozen and is not any more does not go with the step.
        """
        _refuse_overridden(self)
        refuse_differing_runs(self)
        for argument in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(argument, None) is not None:
                raise ValueError(
                    f"{MARK}{argument}`. Expected none: the loss is minus the bound of `objective`, and the metrics "
                    "are the bound's parts. Use a callback for more."
                )
        found = None
        with contextlib.suppress(ValueError), self.distribute_strategy.scope():
            found = keras.optimizers.get(optimizer)
        if found is None:
            raise ValueError(f"{MARK}optimizer`. Expected a Keras optimizer or its name. Received: {optimizer!r}")
        rate = float(keras.ops.convert_to_numpy(found.learning_rate))
        if not rate >= 0.0:
            raise ValueError(f"{MARK}optimizer`. Expected one whose learning rate is at least 0. Received: {rate}")
        if jit_compile != "auto":
            check_boolean("jit_compile", jit_compile)
        if kwargs.get("run_eagerly") is not None:
            check_boolean("run_eagerly", kwargs["run_eagerly"])
        steps = check_integer("steps_per_execution", kwargs.get("steps_per_execution", 1))
        refuse_under_replicas(self, jit_compile, steps)
        refuse_optimizer(self, found)
        self._compiled_as_asked = False
        super().compile(optimizer=found, jit_compile=jit_compile, **kwargs)
        self._requested_jit_compile, self._compiled_as_asked = jit_compile, True
        for layer in self._flatten_layers():
            if isinstance(layer, keras.layers.Normalization):
                # Its constants are made of weights, and `set_weights` does not make them anew.
                layer.finalize_state()
        self.drop_graphs()

    def get_compile_config(self):
        # Keras stores what "auto" meant on this machine.
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def compile_from_config(self, config):
        settings = keras.saving.deserialize_keras_object(config)
        if number_of_replicas(self) > 1:
            # Of a model that was saved on one device.
            settings["steps_per_execution"] = 1
        self.compile(**settings)
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
            if not trained & known:
                raise ValueError(
                    f"{MARK}optimizer`. Expected one of this model's own. Received: one that was built for other "
                    f"weights, those of another model, and not for {min(trained)}"
                )
            raise _thawed(f"an optimizer made for others than {min(trained - known)}")
        if not self._joins_steps():
            return super().make_train_function(force)
        if force or self.train_function is None:
            self.train_function = joined_steps(self.train_step, self._logged, self.steps_per_execution)
        return None

    def _logged(self, names: Sequence[str]) -> dict[str, tf.Tensor]:
        metrics = {metric.name: metric for metric in self.metrics}
        return {name: metrics[name].result() for name in names}

    def _joins_steps(self) -> bool:
        """Whether the steps of a call are one program of XLA, and not one each as Keras has it."""
        several = self.steps_per_execution > 1 and self.unrolled_steps_per_execution == 1
        in_xla = self.jit_compile and not self.run_eagerly
        # A step of a user's own may log what no tracker has, and one of replicas runs where its strategy has it run.
        known = _owner(self, "train_step") == _PACKAGE and not is_distributed(self)
        return several and in_xla and known


def _owner(model: keras.Model, name: str) -> str:
    """The project whose class has this method, or attribute, of the model."""
    if name in vars(model):
        return ""
    return next(base for base in type(model).__mro__ if name in vars(base)).__module__.split(".")[0]


def _refuse_overridden(model: keras.Model) -> None:
    """Refuse methods of a user's own that no step calls, unless a step is the user's own too."""
    if any(_owner(model, name) != _PACKAGE for name in ("train_step", "test_step")):
        return
    for name in _NOT_CALLED:
        if _owner(model, name) not in (_PACKAGE, "keras"):
            raise ValueError(
                f"{MARK}{name}`. Expected none of a class's own, which no step here calls: override `train_step`, or "
                f"give the model an `objective` of your own. Received: a {type(model).__name__} that overrides it"
            )


def refuse_unheard(model: keras.Model) -> None:
    """Refuse methods of a user's own that are for users to call, and that nothing here calls.

    Raises:
        ValueError: which names the method.
    """
    for name in _FOR_USERS:
        if hasattr(type(model), name) and _owner(model, name) != _PACKAGE:
            raise ValueError(
                f"{MARK}{name}`. Expected none of a class's own, which no step, no evaluation and no export here "
                "calls: give the model a posterior, a likelihood or an objective of your own. Received: a "
                f"{type(model).__name__} that overrides it"
            )


def _thawed(received: str) -> ValueError:
    # Keras' own rule, of which it says nothing: a step goes on training what it was traced with.
    return ValueError(
        f"{MARK}trainable`. Expected no change since `compile`, at which it takes effect: compile again, with a new "
        f"optimizer. Received: {received}"
    )


def as_floats(reported: dict | list | float) -> dict | list | float:
    """What was reported, as Python's floats: those of older releases of Keras are tensors, or arrays of no axis."""

    def as_float(value):
        try:
            return float(value)
        except (TypeError, ValueError):
            # A step of a user's own may report more than numbers.
            return value

    return keras.tree.map_structure(as_float, reported)
