"""What stands for other processes that compute batches, and what goes wrong in real ones."""

import contextlib
import os
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation import Compute, Recipe
from keras_iwae.experiments import worker_processes
from keras_iwae.models import IWAE

HERE = Path(__file__).resolve().parent


def same(one, other):
    """Whether two results have the same numbers, to the last bit."""
    for name, value in asdict(one).items():
        np.testing.assert_equal(asdict(other)[name], value, err_msg=name)


def elsewhere(model, order):
    """A `Spread` into what other processes have: what was pickled, and the batches in some order."""

    def spread(recipe, waiting):
        compute = pickle.loads(pickle.dumps(recipe)).on(model)
        for number, x, seen in [waiting[place] for place in order]:
            yield number, compute(tf.constant(x), seen, lambda share: None)

    return spread


@dataclass(frozen=True)
class DiesOnce:
    """A recipe that takes its process with it in the middle of the evaluation, the first time."""

    recipe: Recipe
    done: Path

    def on(self, model: IWAE) -> Compute:
        compute = self.recipe.on(model)

        def dying(x, seen, advance):
            if seen and not self.done.exists():
                self.done.touch()
                os._exit(1)
            return compute(x, seen, advance)

        return dying


@contextlib.contextmanager
def two_with_a_death_in_each(monkeypatch, environment, folder):
    """Two workers of which one dies in each evaluation, and a file for each evaluation, there when one has died."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Where workers find `DiesOnce`.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))
    with worker_processes(2) as workers:
        of, died = workers.of, []

        def dying(path, model):
            def spread(recipe, waiting):
                died.append(folder / f"died-{len(died)}")
                return of(path, model)(DiesOnce(recipe, died[-1]), waiting)

            return spread

        monkeypatch.setattr(workers, "of", dying)
        yield workers, died
