"""Products of matrices of float32 to float32, where a GPU would take fewer digits of them."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

_switch = tf.config.experimental
_lock = threading.Lock()


class _Inside:
    """How many blocks there are, of all threads, and how it was before the first of them."""

    count, before = 0, True


@contextlib.contextmanager
def float32_products() -> Iterator[None]:
    """Without TensorFloat-32 in the block, or in a function that it decorates.

    TensorFlow's products on a GPU have ten bits of each factor by default, three digits. A step of training does not
    mind. A bound in nats is the small difference of large sums, and what a proposal draws by one product it judges by
    another: what is reported is computed to float32.
    """
    with _lock:
        if not _Inside.count:
            _Inside.before = _switch.tensor_float_32_execution_enabled()
            _switch.enable_tensor_float_32_execution(False)
        _Inside.count += 1
    try:
        yield
    finally:
        with _lock:
            _Inside.count -= 1
            if not _Inside.count:
                _switch.enable_tensor_float_32_execution(_Inside.before)
