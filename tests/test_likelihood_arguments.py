"""What likelihoods refuse by name: events outside their support, arguments out of range; and what they are saved as."""

import inspect
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_likelihoods import FAMILIES, UNITS, built

from keras_iwae import likelihoods
from keras_iwae.bounds.objectives import Renyi
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.likelihoods import (
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    MixedLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    StudentTLikelihood,
)
from keras_iwae.networks.masked import MADE


def support_of(name):
    return FAMILIES[name].make().support


REFUSED = {
    "NaN": ([[math.nan, 1.0]], "Received: NaN"),
    "infinity": ([[math.inf, 1.0]], r"Received: values in \[1, inf\]"),
    "minus infinity": ([[-math.inf, 1.0]], r"Received: values in \[-inf, 1\]"),
    "strings": ([["a", "b"]], "Received: text, dtype <U1"),
    "numbers in strings": ([["1", "0"]], "Received: text, dtype <U1"),
    "complex": ([[1j, 0.0]], "Received: complex numbers, dtype complex128"),
    "objects": ([[{}, 0.0]], "Received: dtype object"),
    "another shape": ([[1.0, 0.0, 1.0]], r"Expected shape \[N, 2\]. Received: \[1, 3\]"),
    "one axis short": ([1.0, 0.0], r"Expected shape \[N, 2\]. Received: \[2\]"),
    "rows of different lengths": ([[1.0], [1.0, 0.0]], "Received: rows of different lengths"),
    "none": (np.zeros((0, 2)), "Expected at least one example"),
    "negative": ([[-1.0, 1.0]], r"Received: values in \[-1, 1\]"),
    "negative integers": (np.array([[-1, 1]]), r"Received: values in \[-1, 1\]"),
    "too large": ([[300.0, 1.0]], r"Received: values in \[1, 300\]"),
    "too large in 16 bits": (np.array([[300, 1]], np.uint16), r"Received: values in \[1, 300\]"),
    "fractions": ([[0.5, 1.0]], r"Received: fractions in \[0.5, 1\]"),
}


def is_refused(name, bad):
    """Whether the family has to refuse it, by the words of its support alone."""
    support = support_of(name)
    needs = {"negative": support.low == 0.0, "too large": math.isfinite(support.high), "fractions": support.integers}
    return next((needed for word, needed in needs.items() if bad.startswith(word)), True)


@pytest.mark.parametrize("bad", REFUSED)
@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "discretized_logistic", "poisson", "categorical"])
def test_check_refuses_what_is_outside_the_support_and_only_that(name, bad):
    likelihood, (events, message) = built(FAMILIES[name].make(), (2,)), REFUSED[bad]
    if not is_refused(name, bad):
        np.testing.assert_array_equal(likelihood.check(events, "table"), np.asarray(events))
        return
    with pytest.raises(ValueError, match=rf"Invalid value received for `table`\. .*{message}"):
        likelihood.check(events, "table")


def test_supports_say_what_they_are():
    supports = {name: str(support_of(name)) for name in likelihoods.LIKELIHOODS if name != "categorical"}
    assert supports == {
        "bernoulli": "values in [0, 1]",
        "gaussian": "finite values",
        "student_t": "finite values",
        "discretized_logistic": "integers in [0, 255]",
        "continuous_bernoulli": "values in [0, 1]",
        "poisson": "integers of at least 0 and up to 1000000",
        "negative_binomial": "integers of at least 0 and up to 65659969",
    }
    assert str(support_of("categorical")) == "integers in [0, 4]"


@pytest.mark.parametrize("name", FAMILIES)
def test_check_takes_what_stands_for_missing_where_it_may(name):
    likelihood = built(FAMILIES[name].make(), (2,))
    for events in ([[math.nan, 1.0]], np.array([[None, 1]], object)):
        found = likelihood.check(events, "x", missing=True)
        np.testing.assert_array_equal(found, [[np.nan, 1.0]])
        assert found.dtype == np.float32
    with pytest.raises(ValueError, match="`x`"):
        likelihood.check([[math.nan, math.inf]], "x", missing=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_configuration_survives_json(name):
    likelihood = FAMILIES[name].make()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(likelihood)))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(likelihood)
    assert copy.get_config() == likelihood.get_config()
    assert (copy.parameters, copy.support, copy.levels) == (
        likelihood.parameters,
        likelihood.support,
        likelihood.levels,
    )
    # Of the constructor: what of a class is up to the version of Python where that has a `__new__` of any arguments.
    arguments = set(inspect.signature(type(likelihood).__init__).parameters) - {"self", "kwargs"}
    assert arguments <= set(likelihood.get_config())


OPTIONS = {
    "gaussian": GaussianLikelihood("example", 0.2, widened=True, seed=4),
    "student_t": StudentTLikelihood("example", "dimension", 0.2, widened=True, seed=4),
    "discretized_logistic": DiscretizedLogisticLikelihood(7, 0.03, seed=4),
    "poisson": PoissonLikelihood(7.0, seed=4),
    "negative_binomial": NegativeBinomialLikelihood("example", 0.2, 7.0, seed=4),
    "categorical": CategoricalLikelihood(7, seed=4),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_in_the_configuration(name):
    config = OPTIONS[name].get_config()
    for argument, parameter in inspect.signature(type(OPTIONS[name]).__init__).parameters.items():
        assert argument in ("self", "kwargs") or config[argument] != parameter.default, argument
    assert type(OPTIONS[name]).from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: GaussianLikelihood("none"), "scale"),
        (lambda: GaussianLikelihood("a positive number"), "scale"),
        (lambda: GaussianLikelihood(-0.1), "scale"),
        (lambda: GaussianLikelihood(0), "scale"),
        (lambda: GaussianLikelihood(math.nan), "scale"),
        (lambda: GaussianLikelihood(math.inf), "scale"),
        (lambda: GaussianLikelihood(None), "scale"),
        (lambda: GaussianLikelihood(True), "scale"),
        (lambda: GaussianLikelihood(np.ones(3)), "scale"),
        (lambda: GaussianLikelihood(min_scale=0.0), "min_scale"),
        (lambda: GaussianLikelihood(min_scale=1.0), "min_scale"),
        (lambda: GaussianLikelihood(min_scale="small"), "min_scale"),
        (lambda: GaussianLikelihood(0.5, min_scale=-1.0), "min_scale"),
        (lambda: GaussianLikelihood(0.5, min_scale=0.1), "min_scale"),
        (lambda: StudentTLikelihood(scale=0.5, min_scale=0.1), "min_scale"),
        (lambda: NegativeBinomialLikelihood(2.0, min_dispersion=0.1), "min_dispersion"),
        (lambda: GaussianLikelihood(0.5, widened=True), "widened"),
        (lambda: StudentTLikelihood(widened="yes"), "widened"),
        (lambda: StudentTLikelihood(df="many"), "df"),
        (lambda: StudentTLikelihood(df=-1.0), "df"),
        (lambda: StudentTLikelihood(df=2), "df"),
        (lambda: StudentTLikelihood(scale="one"), "scale"),
        (lambda: StudentTLikelihood(min_scale=2.0), "min_scale"),
        (lambda: NegativeBinomialLikelihood("gene"), "dispersion"),
        (lambda: NegativeBinomialLikelihood(-2.0), "dispersion"),
        (lambda: NegativeBinomialLikelihood(min_dispersion=1.0), "min_dispersion"),
        (lambda: NegativeBinomialLikelihood(max_log_mean=41.0), "max_log_mean"),
        (lambda: PoissonLikelihood(max_log_mean=0.0), "max_log_mean"),
        (lambda: PoissonLikelihood(max_log_mean="20"), "max_log_mean"),
        (lambda: DiscretizedLogisticLikelihood(levels=1), "levels"),
        (lambda: DiscretizedLogisticLikelihood(levels=4.0), "levels"),
        (lambda: DiscretizedLogisticLikelihood(min_scale=0.1), "min_scale"),
        (lambda: CategoricalLikelihood(levels=1), "levels"),
        (lambda: CategoricalLikelihood(levels="17"), "levels"),
        # No numbers of float32 that are above 0, or above 2.
        (lambda: GaussianLikelihood(1e-46), "scale"),
        (lambda: GaussianLikelihood(1e39), "scale"),
        (lambda: GaussianLikelihood([1.0]), "scale"),
        (lambda: GaussianLikelihood(min_scale=1e-60), "min_scale"),
        (lambda: StudentTLikelihood(df=2.00000001, scale=1.0), "df"),
        (lambda: StudentTLikelihood(df=1e39), "df"),
        (lambda: StudentTLikelihood(df=None), "df"),
        (lambda: NegativeBinomialLikelihood(1e-46), "dispersion"),
        (lambda: DiscretizedLogisticLikelihood(min_scale=1e-46), "min_scale"),
        (lambda: PoissonLikelihood(max_log_mean=1e-46), "max_log_mean"),
        (lambda: MixedLikelihood(["gaussian"], [1e39]), r"column_weights\[0\]"),
        (lambda: Renyi(1e300), "alpha"),
        (lambda: Renyi(-1e38), "alpha"),
        (lambda: Proposal(1e-46), "proposal_scale"),
        (lambda: MADE(2, gain=1e39), "gain"),
        (lambda: likelihoods.get("normal"), "likelihood"),
        (lambda: likelihoods.get("categorical"), "likelihood"),
        (lambda: likelihoods.get(None), "likelihood"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, argument):
    with pytest.raises(ValueError, match=rf"Invalid value received for `{argument}`\. Expected .*\. Received: "):
        make()


class OfNumpysInteger(GaussianLikelihood):
    def __init__(self):
        super().__init__("example")
        self.parameters = np.int64(2)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: GaussianLikelihood(np.float32(0.5)), 1),
        (lambda: StudentTLikelihood(df=np.float64(4.0)), 2),
        (lambda: StudentTLikelihood("example", np.float64(0.5)), 2),
        (lambda: NegativeBinomialLikelihood(np.int64(2)), 1),
        (OfNumpysInteger, 2),
    ],
)
def test_numbers_of_numpys_are_taken_as_numbers(make, parameters):
    """Units of a head, and sizes in shapes, are Python's integers whatever the arguments were."""
    likelihood = built(make(), (2,), features=UNITS)
    assert likelihood.head.units == 2 * parameters
    assert all(type(size) is int for size in likelihood.parameter_shape)
    assert likelihood(tf.zeros((3, 1, UNITS))).shape == (3, 1, *likelihood.parameter_shape)


@pytest.mark.parametrize("seed", [True, 1.5, "a", -1, 2**40])
def test_a_seed_is_one_that_a_key_holds(seed):
    for make in (GaussianLikelihood, PoissonLikelihood, lambda seed: MixedLikelihood(["gaussian"], seed=seed)):
        with pytest.raises(ValueError, match=r"Invalid value received for `seed`\. Expected an integer .*Received: "):
            make(seed=seed)


def test_a_seed_is_of_a_head():
    kernels = [built(GaussianLikelihood(seed=seed), (2,), features=UNITS).head.kernel for seed in (np.int64(7), 7, 8)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[1] - kernels[2]).max() > 0.1
    for likelihood in (GaussianLikelihood(seed=7), MixedLikelihood(["gaussian"] * 2, seed=7)):
        with pytest.raises(ValueError, match=r"`seed`\. Expected none of a likelihood without a head.*Received: 7"):
            built(likelihood, (2,))


@pytest.mark.parametrize("given", [None, True, [1.0], "a", 0.0, 1e39])
def test_an_error_says_all_that_a_scale_may_be(given):
    expected = r"Expected 'dimension', 'example' or a number above {}, as float32 has it\. Received: "
    with pytest.raises(ValueError, match=r"`scale`\. " + expected.format(0)):
        GaussianLikelihood(given)
    with pytest.raises(ValueError, match=r"`df`\. " + expected.format(2)):
        StudentTLikelihood(given)


def test_scales_are_widened_of_a_model_alone():
    for likelihood in (
        GaussianLikelihood(widened=True),
        StudentTLikelihood(widened=True),
        MixedLikelihood([GaussianLikelihood(widened=True)]),
    ):
        with pytest.raises(ValueError, match=r"`widen`\. Expected a likelihood that is of a model.*of none yet"):
            likelihood.widen(2.0)
        built(likelihood, (1,)).widen(2.0)


def test_get_makes_a_new_one_of_a_name_and_leaves_an_object_as_it_is():
    assert likelihoods.get(own := PoissonLikelihood()) is own
    first, second = likelihoods.get("poisson"), likelihoods.get("poisson")
    assert first is not second
    assert type(first) is PoissonLikelihood


def test_a_decoder_gives_features_or_the_parameters_themselves():
    likelihood = built(GaussianLikelihood("example"), (2, 3))
    assert likelihood.head is None
    assert likelihood(tf.zeros((4, 5, 2, 3, 2))).shape == (4, 5, 2, 3, 2)
    likelihood = built(GaussianLikelihood("example"), (2, 3), features=7)
    assert likelihood(tf.zeros((4, 5, 7))).shape == (4, 5, 2, 3, 2)
    for features in ((2, 3), (2, 3, 1), (12, 1)):
        likelihood = GaussianLikelihood("example")
        likelihood.describe_events((2, 3), seed=0)
        with pytest.raises(ValueError, match=r"`decoder`\. Expected features \[N, F\], or .*\[N, 2, 3, 2\]"):
            likelihood.build((None, *features))


def test_grey_levels_of_pictures():
    grey = built(DiscretizedLogisticLikelihood(5), (4,)).to_grey([0.0, 1.0, 4.0, math.nan])
    np.testing.assert_allclose(grey, [0.0, 0.25, 1.0, 0.5])
    grey = built(GaussianLikelihood(), (4,)).to_grey([-3.0, 1.0, math.nan, 5.0])
    np.testing.assert_allclose(grey, [0.0, 0.5, 0.5, 1.0])
    for values in ([math.nan], [7.0, 7.0], []):
        assert np.all(np.isfinite(built(GaussianLikelihood(), (1,)).to_grey(values)))
