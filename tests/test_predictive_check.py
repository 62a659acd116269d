"""What a model makes beside the data: alike where the data are its own, apart where they are not."""

import numpy as np
import pytest

from keras_iwae import IWAE
from keras_iwae.evaluation import PredictiveCheck, predictive_check
from keras_iwae.evaluation.predictive_check import _statistics
from keras_iwae.experiments.model_checks import predictive_record
from keras_iwae.likelihoods import MixedLikelihood

NAN = float("nan")


@pytest.fixture(scope="module")
def model():
    made = IWAE((4, 3, 1), latent_dim=2, hidden=(8,), num_samples=3, missing="nan", seed=1)
    for variable in made.generative.trainable_variables:
        variable.assign(2.5 * variable)
    return made


def self_masking():
    columns = MixedLikelihood(["gaussian", "gaussian", "gaussian"])
    return IWAE(3, latent_dim=2, hidden=(5,), likelihood=columns, missing="nan", missingness="self_masking")


def gaps(x):
    """Where there is most ink, and all of the last example."""
    x, ink = x.copy(), x.mean(axis=0)
    x[:, ink > np.median(ink)] = NAN
    x[-1] = NAN
    return x


@pytest.mark.statistical
def test_data_of_the_model_are_like_its_replicates(model):
    x = model.sample(200, seed=3).events.numpy()
    for data in (x, gaps(x)):
        found = predictive_check(model, data)
        assert min(found.p_values.values()) > 0.02
        for name, values in found.replicated.items():
            assert values.shape == (200,)
            assert abs(found.observed[name] - found.expected[name]) <= 3.0 * values.std()


@pytest.mark.statistical
def test_other_data_are_not(model):
    x = model.sample(200, seed=3).events.numpy()
    # As much ink, in entries that know nothing of each other.
    shuffled = np.random.default_rng(0).permutation(x.ravel()).reshape(x.shape)
    p_values = predictive_check(model, shuffled).p_values
    assert p_values["mean, s.d."] == pytest.approx(2 / 201)
    assert p_values["mean"] > 0.05


@pytest.mark.slow
def test_where_no_neighbours_were_observed_there_is_no_roughness(model):
    x = np.zeros((4, 4, 3, 1), np.float32)
    x[:, (np.add.outer(np.arange(4), np.arange(3)) % 2).astype(bool)] = NAN
    found = predictive_check(model, x, num_replicates=3)
    assert {name.removesuffix(", s.d.") for name in found.p_values} == {"largest", "mean", "spread"}
    assert all(np.isfinite(value) for value in found.observed.values())
    # Control: of one pair more.
    x[0, 0, 1] = 1.0
    assert found.observed.keys() < predictive_check(model, x, num_replicates=3).observed.keys()


def test_p_values_count_the_data_as_one_replicate():
    replicated = {"low": np.arange(1.0, 20.0), "middle": np.arange(1.0, 20.0), "same": np.zeros(19)}
    found = PredictiveCheck({"low": 0.0, "middle": 10.0, "same": 0.0}, replicated)
    assert found.p_values == {"low": pytest.approx(0.1), "middle": 1.0, "same": 1.0}
    assert found.expected == {"low": 10.0, "middle": 10.0, "same": 0.0}


def test_p_values_of_data_like_replicates_are_even():
    """A twentieth of them or fewer lies at 1/20 or below, whatever the statistic."""
    values = np.random.default_rng(0).gamma(0.5, size=(4000, 40))
    p_values = [PredictiveCheck({"": row[0]}, {"": row[1:]}).p_values[""] for row in values]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_statistics_by_hand():
    x = np.array([[[0.0], [1.0]], [[3.0], [NAN]], [[NAN], [NAN]]])[..., np.newaxis]
    found = _statistics(x)
    assert found["mean"] == pytest.approx((0.5 + 3.0) / 2)
    assert found["mean, s.d."] == pytest.approx(1.25)
    assert found["spread"] == pytest.approx(0.25)
    assert found["largest"] == 2.0
    assert found["roughness"] == 1.0
    assert "roughness" not in _statistics(x[:, :, 0, 0])


def test_bad_arguments(model):
    x = np.zeros((3, 4, 3, 1), np.float32)
    for name, arguments in {
        "x": (model, x[:1]),
        "num_replicates": (model, x, 0),
        "model": (self_masking(), x),
    }.items():
        with pytest.raises(ValueError, match=f"Invalid value received for `{name}`"):
            predictive_check(*arguments)
    with pytest.raises(ValueError, match=r"`x`\. .*shape"):
        predictive_check(model, x[:, :2])
    with pytest.raises(ValueError, match="`progress`"):
        predictive_check(model, x, progress=1)


def test_the_seed_decides(model):
    x = model.sample(20, seed=3).events.numpy()
    one, again, other = (predictive_check(model, x, 5, seed).replicated["mean"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_diagnosis_has_none_where_gaps_are_part_of_what_the_model_makes():
    x = np.array([[0.0, NAN, 1.0], [1.0, 0.0, NAN]], np.float32)
    assert predictive_record(self_masking(), x, 0, lambda done: None) is None
