"""Convolutional networks learn with their defaults: they leave independent pixels behind, whatever the seed."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from networks_learn import gain

pytestmark = pytest.mark.slow
# Steps, and by how many nats the bound then has to pass independent pixels. Other data sets are in
# docs/results/networks.json, which benchmarks/networks_learn.py writes.
STEPS, WANTED = 100, 1.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_leaves_independent_pixels_behind(seed):
    assert gain("digits", seed, STEPS) > WANTED


def test_networks_of_relus_would_fail():
    """Set to the mean image, a decoder of ReLUs has most of them dead after a few steps, and stays there."""
    assert gain("digits", 0, STEPS, activation="relu") < WANTED
