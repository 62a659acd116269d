"""One of the processes that data_parallel.py times: TF_CONFIG in its environment says which.

python benchmarks/_several.py '{"settings": [...], "rounds": 3}'
"""

import json
import sys
import time
from collections.abc import Callable

import _report  # noqa: F401  finds keras_iwae in a clone
import numpy as np
import tensorflow as tf

from keras_iwae import IWAE
from keras_iwae.training import FusedAdam, over_machines

TOGETHER = over_machines()


def _model(hidden: int, samples: int) -> IWAE:
    model = IWAE(784, hidden=(hidden, hidden), num_samples=samples)
    model.compile(FusedAdam(1e-4))
    model.make_train_function()
    return model


def _calls(setting: dict) -> tuple[dict[str, Callable], int]:
    """What is timed by its name, and how many numbers a step sends."""
    hidden, samples, size = setting["hidden"], setting["num_samples"], setting["batch_size"]
    x = tf.constant((np.random.default_rng(0).random((size, 784)) < 0.3).astype(np.float32))
    share = -(-size // TOGETHER.count)
    own = x[TOGETHER.index * share : (TOGETHER.index + 1) * share]
    alone = _model(hidden, samples)
    with TOGETHER.scope():
        shared = _model(hidden, samples)
    gradient = [tf.zeros(variable.shape) for variable in alone.trainable_variables]

    def summed():
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradient)

    step_alone = tf.function(lambda rows: alone.train_step((rows,)))
    step_together = tf.function(lambda rows: TOGETHER.strategy.run(shared.train_step, ((rows,),)))
    send = tf.function(lambda: TOGETHER.strategy.run(summed))
    calls = {
        "alone": lambda: step_alone(x),
        "share": lambda: step_alone(own),
        "together": lambda: step_together(own),
        "sending": send,
    }
    return calls, sum(int(np.prod(variable.shape)) for variable in alone.trainable_variables)


def measured(setting: dict, rounds: int) -> dict:
    """Seconds of a step: alone, of a share of the batch while others work, together, and of sending alone."""
    calls, parameters = _calls(setting)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            TOGETHER.wait()
            # While one works alone, the others wait for it.
            if name == "alone" and not TOGETHER.first:
                continue
            start = time.perf_counter()
            for _ in range(setting["steps"] if turn else 2):
                call()
            if turn:
                found[name].append((time.perf_counter() - start) / setting["steps"])
    return {**setting, "parameters": parameters, "seconds": found}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    for each in asked["settings"]:
        result = measured(each, asked["rounds"])
        if TOGETHER.first:
            print(json.dumps(result), flush=True)
    TOGETHER.wait()
