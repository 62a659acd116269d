"""What computes batches elsewhere gives every batch once, or is told by its argument's name what it gives instead."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_iwae.evaluation import Batch
from keras_iwae.evaluation.spreading import elsewhere


def of_two(rows):
    return tuple(np.zeros(rows) for _ in range(2))


WAITING = [Batch(0, np.zeros((3, 4)), 0), Batch(1, np.zeros((2, 4)), 3)]
# What a function gives that is not every batch of three and two rows once, with two arrays of each, and how it is told.
SPREAD_WRONGLY = {
    "nothing": (None, "pairs .* Received: None"),
    "no batch": ([], "every batch .* Received: nothing of batches 0, 1$"),
    "one batch": ([(1, of_two(2))], "every batch .* Received: nothing of batches 0$"),
    "a batch that nobody asked for": ([(7, of_two(3))], "of which batches 0, 1 had not come. Received: batch 7"),
    "a batch twice": ([(0, of_two(3)), (0, of_two(3))], "of which batches 1 had not come. Received: batch 0"),
    "names": ([("0", of_two(3))], "Received: batch '0'"),
    "truth": ([(True, of_two(2))], "Received: batch True"),
    "no pair": ([of_two(3)[0]], "pairs "),
    "None of a batch": ([(0, None)], "2 arrays of 3 rows .* Received: None"),
    "no arrays": ([(0, ())], r"2 arrays .* Received: \(\)"),
    "one array": ([(0, of_two(3)[:1])], "2 arrays "),
    "other rows": ([(0, of_two(2))], "2 arrays of 3 rows of numbers for batch 0"),
    "text": ([(0, (["a", "b", "c"], np.zeros(3)))], "2 arrays of 3 rows of numbers"),
    "other shapes": ([(0, of_two(3)), (1, (np.zeros((2, 2)), np.zeros(2)))], "of the same shapes .* batch 1"),
}


@pytest.mark.parametrize("name", SPREAD_WRONGLY)
def test_what_comes_from_elsewhere_is_every_batch_once(name):
    given, told = SPREAD_WRONGLY[name]
    compute = elsewhere(lambda recipe, waiting: given, SimpleNamespace(arrays=2))
    with pytest.raises(ValueError, match=rf"`spread`\. Expected a function that gives .*{told}"):
        list(compute(WAITING))


def test_what_comes_from_elsewhere_may_come_in_any_order():
    given = [(np.int64(1), of_two(2)), (0, list(of_two(3)))]
    found = elsewhere(lambda recipe, waiting: iter(given), SimpleNamespace(arrays=2))(WAITING)
    assert [number for number, _ in found] == [1, 0]
