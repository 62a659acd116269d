"""Steps inside `fit`, without what a call of `fit` takes before the first of them."""

import time

import keras


class Stopwatch(keras.callbacks.Callback):
    """Seconds a step from the end of the first call of steps to the end of the last, `None` where there is one call."""

    def on_train_begin(self, logs=None):
        self.ends: list[tuple[int, float]] = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append((batch, time.perf_counter()))

    def seconds_a_step(self) -> float | None:
        (first, begin), (last, end) = self.ends[0], self.ends[-1]
        return (end - begin) / (last - first) if last > first else None
