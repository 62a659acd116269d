"""Learning-rate schedules: a step to a value, for `keras.optimizers` and so for `fit`."""

import keras

from keras_iwae.foundation import check_integer, check_positive_float32

STAGES = 8


def passes_of(stages: int) -> int:
    """Passes over the data in the first `stages` stages of the paper, 1 + 3 + ... + 3^(stages - 1).

    Raises:
        ValueError: if `stages` is not a whole number from 1 to 8.
    """
    if check_integer("stages", stages) > STAGES:
        raise ValueError(f"Invalid value received for `stages`. Expected 1 to {STAGES}. Received: {stages}")
    return (3**stages - 1) // 2


def stage_of(passes: int) -> int:
    """The stage, from 1 to 8, that the last of so many passes belongs to."""
    check_integer("passes", passes, at_least=0)
    return next((stage for stage in range(1, STAGES) if passes <= passes_of(stage)), STAGES)


@keras.saving.register_keras_serializable("keras_iwae")
class PaperSchedule(keras.optimizers.schedules.LearningRateSchedule):
    r"""The paper's learning rate: stage i = 0..7 lasts $3^i$ passes at $\eta \cdot 10^{-i/7}$.

    Args:
        steps_per_pass: training steps in one pass over the data.
        initial_learning_rate: $\eta$, 0.001 in the paper.

    Raises:
        ValueError: if `steps_per_pass` is below 1, or the rate is not above 0.

    After the 3,280 passes of the eight stages the rate stays at that of the last.

    Example:
        >>> train, model = keras_iwae.data.load("digits", "train", batch_size=20), IWAE((8, 8, 1))
        >>> model.compile(keras.optimizers.Adam(PaperSchedule(len(train))))
        >>> model.fit(train, epochs=3280)

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.
    """

    def __init__(self, steps_per_pass: int, initial_learning_rate: float = 1e-3):
        super().__init__()
        self.initial_learning_rate = check_positive_float32("initial_learning_rate", initial_learning_rate)
        self.steps_per_pass = check_integer("steps_per_pass", steps_per_pass)

    def __call__(self, step):
        # Of many steps a pass the later stages begin beyond int32.
        step = keras.ops.cast(step, "int64")
        ends = keras.ops.convert_to_tensor([passes_of(i) * self.steps_per_pass for i in range(1, STAGES)], "int64")
        stage = keras.ops.sum(keras.ops.cast(step >= ends, "float32"))
        return self.initial_learning_rate * keras.ops.power(10.0, -stage / (STAGES - 1))

    def get_config(self):
        return {"steps_per_pass": self.steps_per_pass, "initial_learning_rate": self.initial_learning_rate}


def warm_cosine(total_steps: int, peak: float) -> keras.optimizers.schedules.CosineDecay:
    """A rise from 0 to `peak` over the first fiftieth of the steps, then half a cosine down to 0 at the last.

    Args:
        total_steps: steps of the whole training.
        peak: the highest learning rate.

    Raises:
        ValueError: if `total_steps` is no positive integer, or `peak` not above 0.
    """
    total_steps, peak = check_integer("total_steps", total_steps), check_positive_float32("peak", peak)
    warmup = max(1, total_steps // 50)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total_steps - warmup), warmup_target=peak, warmup_steps=warmup
    )
