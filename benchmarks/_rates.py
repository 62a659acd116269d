"""The learning rates of the fast recipe for peers, whose processes do not import Keras."""

import math


def warm_cosine(step: int, total_steps: int, peak: float) -> float:
    """`keras_iwae.training.warm_cosine` at one step: up to `peak` over a fiftieth of the steps, then down to 0."""
    rise = max(1, total_steps // 50)
    if step < rise:
        return peak * step / rise
    done = min(1.0, (step - rise) / max(1, total_steps - rise))
    return 0.5 * peak * (1.0 + math.cos(math.pi * done))
