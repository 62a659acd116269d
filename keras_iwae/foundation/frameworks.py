"""TensorFlow, Keras and TensorFlow Probability, imported in less time than by themselves: benchmarks/startup.py."""

import gc
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# Keras imports scikit-learn for the first and matplotlib's pyplot for the others, where they are installed.
LATER = frozenset({"keras.visualization", "keras.wrappers", "keras.src.visualization"})


class _WhenFirstTouched:
    """A finder of modules that Python reads at the first look at what is in them."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in LATER else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@contextmanager
def _without_watching() -> Iterator[None]:
    """No search for garbage among the objects of modules, none of which is any."""
    watched = gc.isenabled()
    gc.disable()
    try:
        yield
        # Among the old, which most searches leave out: frozen for good, what is garbage of the caller would stay, too.
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
    finally:
        if watched:
            gc.enable()


def _import_all() -> None:
    finder = _WhenFirstTouched()
    sys.meta_path.insert(0, finder)
    try:
        with _without_watching():
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
            import tensorflow_probability as tfp

            _ = tfp.distributions
    finally:
        sys.meta_path.remove(finder)


_import_all()
