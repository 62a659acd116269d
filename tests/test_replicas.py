"""Several devices give what one does: weights, metrics and predictions, to float32."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from keras_iwae import load
from keras_iwae.foundation import Rows, having_rows, normal_of_rows, rows_out_of
from keras_iwae.training import over_devices

TRAIN = Path(__file__).parents[1] / "scripts" / "train.py"
SCRIPT = Path(__file__).parent / "replicated_fits.py"
ON_TWO = (
    "missing",
    "autoencoder, penalty",
    "two layers",
    "learned ciwae, warm-up",
    "resampled",
    "vimco, binary",
    "rws, weights",
    "full covariance",
    "mixture",
    "autoregressive",
    "adversarial",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
)
ON_THREE = ("weights", "rws, weights")


def _apart(folder, environment: dict, replicas: int, *cases: str) -> dict:
    # A device more can be had only before TensorFlow has begun, and with it one strategy a process.
    done = subprocess.run(
        [sys.executable, SCRIPT, str(replicas), *cases],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def on_two(tmp_path_factory, as_here):
    return _apart(tmp_path_factory.mktemp("two"), as_here, 2, *ON_TWO, "own", "further")


@pytest.fixture(scope="module")
def on_three(tmp_path_factory, as_here):
    return _apart(tmp_path_factory.mktemp("three"), as_here, 3, *ON_THREE)


@pytest.mark.long
@pytest.mark.parametrize("case", ON_TWO)
def test_two_devices_give_what_one_does(on_two, case):
    # Of sums in another order; nats are of the order of 4.
    assert all(apart < 2e-5 for apart in on_two[case].values()), on_two[case]


@pytest.mark.long
@pytest.mark.parametrize("case", ON_THREE)
def test_three_devices_give_what_one_does(on_three, case):
    assert all(apart < 2e-5 for apart in on_three[case].values()), on_three[case]


@pytest.mark.long
def test_draws_of_a_posterior_of_ones_own_are_others_which_this_comparison_shows(on_two):
    assert on_two["own"]["weights"] > 1e-3


@pytest.mark.long
def test_epochs_files_evaluations_and_exports_are_those_of_one_device(on_two):
    found = on_two["further"]
    for what in ("data.load", "goes on alone", "goes on together", "NLL", "served"):
        assert found[what] < 5e-4, (what, found[what])


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train_on_batch", "`train_on_batch`. Expected `fit` under a strategy of several replicas"),
        ("test_on_batch", "`test_on_batch`. Expected `evaluate`"),
        ("predict_on_batch", "`predict_on_batch`. Expected `predict`"),
        ("jit_compile", "`jit_compile`. Expected False or 'auto' under a MirroredStrategy"),
        ("steps_per_execution", "`steps_per_execution`. Expected 1 under a MirroredStrategy"),
        ("clipnorm", "`clipnorm`. Expected None"),
        ("global_clipnorm", "`global_clipnorm`. Expected None"),
        ("clipvalue", "`clipvalue`. Expected None"),
        ("gradient_accumulation_steps", "`gradient_accumulation_steps`. Expected None"),
        ("ema_overwrite_frequency", "`ema_overwrite_frequency`. Expected None"),
        ("scaled", "`clipnorm`. Expected None"),
        (
            "outside",
            "`optimizer`. Expected one that was made in the scope of the model's MirroredStrategy",
        ),
        ("scope", "call of `compile`. Expected one in the scope that the model was made in"),
    ],
)
def test_what_replicas_would_do_otherwise_is_refused(on_two, name, said):
    assert said in on_two["further"]["refused"][name]


@pytest.mark.long
def test_layers_that_take_each_replicas_rows_alone_are_said(on_two):
    for name, said in on_two["further"]["warned"].items():
        one_device = [each for each in said if "not be those of one device" in each]
        assert len(one_device) == (name != "synchronized"), (name, said)


def test_a_replica_has_the_noise_of_its_rows():
    key = tf.constant([3, 4])
    whole = normal_of_rows(key, [2, 5, 3], axis=1)
    assert whole.shape == (2, 5, 3)
    parts = []
    for first, count in ((0, 2), (2, 2), (4, 1)):
        with having_rows(Rows(tf.constant(first), tf.constant(count), tf.constant(5))):
            parts.append(normal_of_rows(key, [2, count, 3], axis=1))
            with having_rows(None):
                assert rows_out_of(whole, tf.constant(2)) is whole
    assert bool(tf.reduce_all(tf.concat(parts, axis=1) == whole))
    # One that stands in where there are fewer rows than replicas.
    with having_rows(Rows(tf.constant(5), tf.constant(0), tf.constant(5))):
        assert normal_of_rows(key, [2, 1, 3], axis=1).shape == (2, 1, 3)


def _trained(folder, words: str) -> subprocess.CompletedProcess:
    given = [sys.executable, TRAIN, *words.split()]
    return subprocess.run(given, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.long
def test_a_run_on_several_devices_goes_on_with_another_number_and_is_that_of_one(tmp_path):
    settings = (
        "--dataset digits --hidden 9 --latent-dim 2 --num-samples 3 --batch-size 70 --ema 0.9 --global-clipnorm 5"
    )
    for words in (
        f"{settings} --epochs 2 --out one",
        f"{settings} --epochs 1 --out several --devices 2",
        "--resume --epochs 2 --out several --devices 3",
    ):
        done = _trained(tmp_path, words)
        assert done.returncode == 0, done.stderr[-3000:]
    one, several = (load(tmp_path / name).get_weights() for name in ("one", "several"))
    assert max(float(abs(a - b).max()) for a, b in zip(one, several, strict=True)) < 1e-5


def test_devices_are_asked_for_before_tensorflow_begins():
    assert tf.constant(0.0) == 0.0
    with pytest.raises(ValueError, match=r"`devices`\. Expected 1, or to be asked for before anything else"):
        over_devices(64)
    with pytest.raises(ValueError, match=r"`devices`\. Expected at most 64 logical CPUs\. Received: 3000"):
        over_devices(3000)
    for wrong in (0, 1.5, "2"):
        with pytest.raises(ValueError, match=r"`devices`\. Expected an integer of at least 1"):
            over_devices(wrong)
