"""Posteriors, likelihoods and objectives of a user's own with a mistake in them: refused when the model is made."""

import importlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import AVB, IWAE
from keras_iwae.bounds import bound_gradients, check_contract, resampled
from keras_iwae.bounds.objectives import CIWAE, ELBO, IWAEBound, Objective, Reconstruction, Term
from keras_iwae.bounds.resampled import resample
from keras_iwae.evaluation import Proposal
from keras_iwae.foundation import DiagonalGaussian, Support, is_known
from keras_iwae.likelihoods import Likelihood, MixedLikelihood
from keras_iwae.models.latent_model import LatentModel
from keras_iwae.models.starting import StartingModel
from keras_iwae.posteriors import Posterior
from keras_iwae.priors import Prior, StandardNormalPrior
from keras_iwae.serving.endpoints import endpoints

tfd = tfp.distributions
X = (np.random.default_rng(0).random((4, 6)) < 0.4).astype(np.float32)


class Own(Posterior):
    latent_dim = 2

    def build(self, shape):
        self.dense = keras.layers.Dense(2)
        self.dense.build(shape)
        self.built = True

    def distribution(self, x, training=False):
        return tfd.MultivariateNormalDiag(self.dense(x), tf.ones_like(self.dense(x)))


class Sum(tfd.MultivariateNormalDiag):
    def log_prob(self, value, **options):
        return tf.reduce_sum(super().log_prob(value))


class NoDensity(tfd.MultivariateNormalDiag):
    def _log_prob(self, value):
        raise NotImplementedError("none\nhere")


def gives(make, **attributes):
    """A posterior whose distribution is made of what its dense layer gives for x."""
    return type("Odd", (Own,), {"distribution": lambda self, x, training=False: make(self.dense(x)), **attributes})


def draws(make):
    """A posterior whose draws and densities are made of K and B."""
    return type("Odd", (Own,), {"sample_and_log_prob": lambda self, x, k, seed, training=False: make(k, len(x))})


def overriding(method, change):
    """A posterior whose method gives something else than that of its distribution."""
    own = getattr(Own, method)
    return type("Odd", (Own,), {method: lambda self, *given: change(own(self, *given))})


def diagonal(loc, scale=1.0, kind=tfd.MultivariateNormalDiag):
    return kind(loc, scale * tf.ones_like(loc))


class Learned(Own):
    """A width and a share of the other rows, of which nothing is seen at the start."""

    def build(self, shape):
        self.log_scale = self.add_weight(shape=(2,), name="log_scale", initializer="zeros")
        self.share = self.add_weight(shape=(), name="share", initializer="zeros")
        super().build(shape)

    def distribution(self, x, training=False):
        return diagonal(self.dense(x), tf.exp(self.log_scale))


def forgets_scale(self, z, x):
    return diagonal(self.dense(x)).log_prob(z)


def mixes_rows(self, x, training=False):
    return diagonal(self.dense(x) + self.share * tf.reduce_mean(x), tf.exp(self.log_scale))


def other_noise(change, scale=1.0):
    """Draws by noise of its own, `[K, B, 2]` after a change, and their densities under the distribution."""

    def sample_and_log_prob(self, x, k, seed, training=False):
        q, noise = self.distribution(x), tf.random.stateless_normal([k, len(x), 2], tf.random.split(seed)[0])
        z = q.mean() + scale * q.stddev() * change(noise)
        return z, q.log_prob(z)

    return type("Odd", (Learned,), {"sample_and_log_prob": sample_and_log_prob})


OTHER_NOISE = {
    "draws that are narrower": other_noise(lambda noise: noise, 0.8),
    "draws that go together": other_noise(lambda noise: tf.tile(noise[..., :1], [1, 1, 2])),
    "draws to one side": other_noise(tf.abs),
    "one draw for all": other_noise(lambda noise: tf.zeros_like(noise) + noise[:1]),
}
POSTERIORS = {
    **{name: (kind, "a `sample_and_log_prob` that says of") for name, kind in OTHER_NOISE.items()},
    "a scale that a density forgets": (type("Odd", (Learned,), {"log_prob": forgets_scale}), "a `log_prob` that says"),
    "rows that are mixed later": (type("Odd", (Learned,), {"distribution": mixes_rows}), "each row by itself"),
    "no latent units": (type("Odd", (Posterior,), {}), "`latent_dim`, its latent units"),
    "no distribution": (type("Odd", (Posterior,), {"latent_dim": 2}), "`distribution`. .* with none"),
    "another density": (gives(diagonal, density="exakt"), "`density`, one of .* with 'exakt'"),
    "strata without names": (gives(diagonal, stratified=True), r"a distribution with `labelled\(sample_shape, seed\)`"),
    "a tensor": (gives(lambda loc: loc), "a TFP distribution. .* with a EagerTensor"),
    "entries apart": (gives(lambda loc: tfd.Normal(loc, 1.0)), r"event shape \[2\]. .* batch shape \[3, 2\]"),
    "other latent units": (gives(diagonal, latent_dim=3), r"event shape \[3\]. .* event shape \[2\]"),
    "one for all rows": (gives(lambda loc: diagonal(loc[:1])), r"batch shape \[B\] .* batch shape \[1\]"),
    "no training": (type("Odd", (Own,), {"distribution": lambda self, x: diagonal(self.dense(x))}), "with TypeError"),
    "no density": (gives(lambda loc: diagonal(loc, kind=NoDensity)), "NotImplementedError: none here"),
    "NaN": (gives(lambda loc: diagonal(loc, np.nan)), "are numbers. .* with NaN"),
    "float64": (gives(lambda loc: diagonal(tf.cast(loc, tf.float64))), "float32 .* with float64"),
    "one density for all": (gives(lambda loc: diagonal(loc, kind=Sum)), r"float32 \[K, B\]. .* float32 \[\]"),
    "mixed rows": (gives(lambda loc: diagonal(loc - tf.reduce_mean(loc, 0))), "each row by itself"),
    "no axis of draws": (
        draws(lambda k, b: (tf.zeros([k, b, 2]), tf.zeros([b]))),
        r"\[K, B\]. .* float32 \[3\] for K = 2",
    ),
    "draws last": (draws(lambda k, b: (tf.zeros([k, b, 2]), tf.zeros([b, k]))), r"\[K, B\]. .* float32 \[3, 2\]"),
    "other draws": (
        overriding("sample_and_log_prob", lambda found: (found[0] + 1.0, found[1])),
        "a `sample_and_log_prob` that says of",
    ),
    "other densities of draws": (
        overriding("sample_and_log_prob", lambda found: (found[0], found[1] + 1.0)),
        "a `sample_and_log_prob` that says of",
    ),
    "other densities": (
        overriding("log_prob", lambda found: found + 1.0),
        "a `log_prob` that says of .*`distribution`",
    ),
    "another mean": (overriding("mean", lambda found: found + 1.0), "a `mean` that says of"),
    "another path": (overriding("reparameterize", lambda found: found + 1.0), "a `reparameterize` that says of"),
    "rows first": (draws(lambda k, b: (tf.zeros([b, k, 2]), tf.zeros([k, b]))), r"\[K, B, 2\]. .* float32 \[3, 2, 2\]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POSTERIORS)
def test_a_posterior_with_a_mistake_is_refused(name):
    kind, said = POSTERIORS[name]
    with pytest.raises(ValueError, match=rf"^Invalid .*`posterior`\. Expected a class with .*{said}.*$"):
        IWAE(6, hidden=(3,), num_samples=3, posterior=kind())


class Draws:
    """Of no class of TFP's, with what is named alone."""

    def __init__(self, loc, *names, width=2):
        q = tfd.MultivariateNormalDiag(loc, tf.ones_like(loc))
        vars(self).update({name: getattr(q, name) for name in ("sample", *names)})
        if "stddev" in names:
            self.stddev = lambda: tf.ones([len(loc), width])


WITHOUT_DENSITY = {
    "no mean": (lambda loc: Draws(loc, "stddev"), r"`distribution\(x\).mean` that can be called.* with AttributeError"),
    "no width": (lambda loc: Draws(loc, "mean"), r"`distribution\(x\).stddev` that can be called"),
    "a width for all units": (
        lambda loc: Draws(loc, "mean", "stddev", width=1),
        r"`distribution\(x\).stddev\(\)`, float32 \[B, 2\]. .* float32 \[3, 1\]",
    ),
    "a mean that TFP does not know": (
        lambda loc: tfd.TransformedDistribution(diagonal(loc), tfp.bijectors.Sigmoid()),
        r"`distribution\(x\).mean` that can be called.* with NotImplementedError",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_DENSITY)
def test_what_a_density_is_stood_in_for_by_is_looked_at(name):
    make, said = WITHOUT_DENSITY[name]
    with pytest.raises(ValueError, match=rf"^Invalid .*`posterior`\. Expected a class with .*{said}"):
        AVB(6, hidden=(3,), posterior=gives(make, density="none")())
    AVB(6, hidden=(3,), posterior=gives(lambda loc: Draws(loc, "mean", "stddev"), density="none")())


@pytest.mark.slow
def test_draws_by_noise_of_its_own_are_taken_and_weights_stay_what_they_were():
    class Raising(Learned):
        """It has no log density once its width is another."""

        def log_prob(self, z, x):
            if float(self.log_scale[0]) != 0.0:
                raise ArithmeticError
            return super().log_prob(z, x)

    for kind in (other_noise(tf.identity), other_noise(tf.negative), Learned, Raising):
        own = kind()
        IWAE(6, hidden=(3,), num_samples=3, posterior=own)
        assert [float(tf.reduce_sum(weight)) for weight in (own.log_scale, own.share)] == [0.0, 0.0]


class Coins(Likelihood):
    support = Support(0.0, 1.0)

    def entries(self, parameters):
        return tfd.Bernoulli(parameters, dtype=tf.float32)


def log_probs(change):
    return type("Odd", (Coins,), {"log_prob": lambda self, x, f, mask=None: change(Coins.log_prob(self, x, f, mask))})


def entries(make, **attributes):
    return type("Odd", (Coins,), {"entries": lambda self, parameters: make(parameters), **attributes})


LIKELIHOODS = {
    "no axis of draws": (log_probs(lambda found: found[0]), r"float32 \[K, B\]. .* float32 \[3\] for K = 2"),
    "draws last": (log_probs(tf.transpose), r"float32 \[3, 2\]"),
    "one for all": (log_probs(tf.reduce_mean), r"float32 \[\]"),
    "float64": (log_probs(lambda found: tf.cast(found, tf.float64)), "float64"),
    "NaN": (log_probs(lambda found: found * np.nan), "a number for x = 0 .* with NaN"),
    "no mask": (type("Odd", (Coins,), {"log_prob": lambda self, x, features: None}), "`log_prob` can be called"),
    "nothing": (entries(lambda parameters: None), "a TFP distribution. .* with a NoneType"),
    "a scale below 0": (entries(lambda p: tfd.Normal(p, -1.0)), "with NaN"),
    "an error": (entries(lambda p: p["loc"]), "`entries` can be called. .* with TypeError"),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_with_a_mistake_is_refused(name):
    kind, said = LIKELIHOODS[name]
    with pytest.raises(ValueError, match=rf"^Invalid .*`likelihood`\. Expected .*{said}.*$"):
        IWAE(6, latent_dim=2, hidden=(3,), num_samples=3, likelihood=kind())


@pytest.mark.parametrize("wrong", [0, 2.0, "2"])
def test_numbers_of_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=r"`parameters`\. Expected an integer of at least 1"):
        IWAE(6, latent_dim=2, hidden=(3,), likelihood=type("Odd", (Coins,), {"parameters": wrong})())


@pytest.mark.slow
def test_what_has_no_mistake_trains_and_a_path_that_nobody_knows_is_named():
    model = IWAE(6, hidden=(3,), num_samples=3, posterior=Own(), likelihood=Coins())
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(X)[0])
    independent = gives(lambda loc: tfd.Independent(tfd.Normal(loc, 1.0), 1))
    model = IWAE(6, hidden=(3,), num_samples=3, posterior=independent())
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(X)[0])
    with pytest.raises(ValueError, match=r"`posterior`\. Expected a class with `reparameterize\(.*Independent"):
        IWAE(6, hidden=(3,), num_samples=3, posterior=independent(), backward_samples=2)


def squashed(base):
    return gives(lambda loc: tfd.TransformedDistribution(base(loc), tfp.bijectors.Sigmoid()))


@pytest.mark.slow
def test_the_resampled_backward_pass_trains_what_is_below_a_bijector():
    flow = squashed(lambda loc: tfd.MultivariateNormalDiag(loc, tf.exp(0.1 * loc)))
    model = IWAE(6, hidden=(3,), num_samples=5, posterior=flow(), backward_samples=4, estimator="dreg")
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    before = model.posterior.dense.kernel.numpy()
    model.train_on_batch(X)
    assert np.abs(model.posterior.dense.kernel - before).max() > 1e-6
    # Parameters of noise that no bijector makes: nobody knows the path, where one is asked for.
    unknown = squashed(lambda loc: tfd.Independent(tfd.Normal(loc, 1.0), 1))
    IWAE(6, hidden=(3,), num_samples=5, posterior=unknown())
    with pytest.raises(ValueError, match=r"`posterior`\. .* `reparameterize\(.* through all parameters of the draws"):
        IWAE(6, hidden=(3,), num_samples=5, posterior=unknown(), backward_samples=4)


@pytest.mark.slow
def test_a_posterior_without_a_mean_says_what_predict_takes():
    for posterior in (squashed(diagonal), gives(lambda loc: Draws(loc, "log_prob"))):
        model = IWAE(6, hidden=(3,), num_samples=5, posterior=posterior())
        with pytest.raises(ValueError, match=r"`posterior`\. Expected a class with `mean\(x, training\)`"):
            model.predict(X, verbose=0)


class SkewedEntries(Likelihood):
    support = Support()

    def entries(self, parameters):
        return tfd.TransformedDistribution(tfd.Normal(parameters, 1.0), tfp.bijectors.SinhArcsinh(0.3))


class ShownEntries(SkewedEntries):
    def mean_of(self, parameters):
        return tf.sinh(parameters)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [False, True])
def test_what_has_no_standard_deviation_is_served_with_its_mean_alone(columns):
    shown = type("Shown", (squashed(diagonal),), {"mean": lambda self, x, training=False: tf.sigmoid(self.dense(x))})

    def answers(posterior, entries):
        likelihood = MixedLikelihood(["bernoulli"] * 5 + [entries()]) if columns else entries()
        model = IWAE(6, hidden=(3,), num_samples=2, posterior=posterior(), likelihood=likelihood)
        return model, {name: one.function for name, one in endpoints(model, Proposal()).items()}

    model, answer = answers(shown, ShownEntries)
    found = answer["encode"](X)
    assert set(found) == {"mean"}
    np.testing.assert_array_equal(found["mean"], model.posterior.mean(X))
    found = answer["decode"](tf.zeros([2, 2]))
    assert set(found) == ({"mean", "probabilities"} if columns else {"mean"})
    np.testing.assert_array_equal(found["mean"], model.generative.mean(tf.zeros([2, 2])))
    np.testing.assert_allclose(answer["reconstruct"](X)["mean"], model.predict(X, verbose=0), rtol=1e-5)
    model, answer = answers(squashed(diagonal), SkewedEntries)
    with pytest.raises(ValueError, match=r"`posterior`\. Expected a class with `mean\(x, training\)`"):
        answer["encode"](X)
    with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class with `mean_of\(parameters\)`, or entries"):
        answer["decode"](tf.zeros([2, 2]))


def terms(*given, parent=Objective, method="terms", **attributes):
    """An objective that climbs these terms of K samples, whatever K is."""
    return type("Odd", (parent,), {method: lambda self, num_samples, parameter=None: given, **attributes})()


def asks_for_its_parameter():
    return type("Own", (Objective,), {"terms": lambda self, num_samples, parameter: (Term(1.0, num_samples),)})()


def asks_for_what_it_learns():
    def mixed(self, num_samples, parameter):
        return Term(parameter, 1), Term(1.0 - parameter, num_samples)

    return type("Own", (Objective,), {"terms": mixed, "learned": True, "beta": 0.5})()


def gives_for_terms(value):
    return type("Odd", (Objective,), {"terms": lambda self, num_samples, parameter=None: value})()


OBJECTIVES = {
    "a value of its own": (type("Odd", (IWAEBound,), {"__call__": lambda *a: 0.0})(), "`terms` alone, .* `__call__`"),
    "no terms": (type("Odd", (Objective,), {})(), r"`terms\(num_samples, parameter\)`. .* with none"),
    "none of them": (gives_for_terms(()), r"a tuple of Term\(.* with \(\)"),
    "a list": (gives_for_terms([Term(1.0, 1)]), r"a tuple of Term\(.* with \[Term"),
    "a plain tuple": (terms((1.0, 6)), r"a tuple of Term\(.* with \(\(1.0, 6\),\)"),
    "an error": (type("Odd", (Objective,), {"terms": lambda self, n: ()})(), "`terms.*can be called. .* TypeError"),
    "groups that do not divide": (terms(Term(1.0, 4)), "`terms` of group sizes that divide num_samples = 6. .*size=4"),
    "the encoder's groups": (terms(Term(1.0, 4), parent=ELBO, method="inference_terms"), "`inference_terms` of group"),
    "a power of 0": (terms(Term(1.0, 6, 0.0)), "a power that is not 0. .*power=0.0"),
    "NaN": (terms(Term(np.nan, 6)), "of finite numbers"),
    "words": (terms(Term("1", 6)), "of numbers"),
    "no start": (terms(Term(1.0, 6), learned=True), "`beta`, where the learned coefficient starts.* with None"),
    "nothing learned": (terms(Term(1.0, 6), learned=True, beta=0.5), "of the `parameter` that it learns"),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_with_a_mistake_is_refused(name):
    objective, said = OBJECTIVES[name]
    with pytest.raises(ValueError, match=rf"^Invalid .*`objective`\. Expected a class with .*{said}.*$"):
        check_contract(objective, 6)


def test_group_sizes_are_counts_and_what_is_resampled_has_no_weight_below_0():
    with pytest.raises(ValueError, match=r"`group_size`\. Expected an integer"):
        check_contract(terms(Term(1.0, 2.0)), 6)
    of_both_signs = terms(Term(2.0, 6), Term(-1.0, 1))
    check_contract(of_both_signs, 6)
    with pytest.raises(ValueError, match=r"`objective`\. .*at least 0 beside `backward_samples`"):
        check_contract(of_both_signs, 6, resampled=True)
    with pytest.raises(ValueError, match=r"`objective`\. .*`__call__`"):
        IWAE(6, latent_dim=2, hidden=(3,), num_samples=6, objective=OBJECTIVES["a value of its own"][0])


def test_what_has_no_probability_is_not_drawn_by_rounding(monkeypatch):
    """Float32 rounds the last position up to the end, behind which the last sample alone would be left."""
    monkeypatch.setattr(resampled, "uniform_of_rows", lambda seed, shape, axis: tf.fill(shape, 1.0 - 2.0**-24))
    drawn = resample(IWAEBound(), tf.constant([[0.0]] * 9 + [[-1000.0]] * 2), None, 10, tf.constant([0, 1]))
    assert np.all(drawn.index < 9)
    assert np.all(drawn.expected > 0.0)


def test_coefficients_of_own_terms_may_be_whole_numbers():
    model = IWAE(6, latent_dim=2, hidden=(3,), num_samples=4, objective=terms(Term(2, 4), Term(-1, 1)))
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(X)[0])


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["auto", "reparameterized", "vimco"])
@pytest.mark.parametrize("learned", [False, True])
def test_terms_that_ask_for_their_parameter_are_given_it(learned, estimator):
    """As docs/objectives.md writes them, without what it is where nobody gives one."""
    own = asks_for_what_it_learns() if learned else asks_for_its_parameter()
    fixed = {"estimator": estimator, "seed": 3, "hidden": (3,), "latent_dim": 2, "num_samples": 4}
    if estimator == "vimco" and learned:
        with pytest.raises(ValueError, match=r"`estimator`\. Expected 'reinforce' in its place for groups of one"):
            IWAE(6, objective=own, **fixed)
        return
    found = []
    # Of ours too, whose terms do without.
    for objective in (own, CIWAE(0.5, learned=True) if learned else IWAEBound()):
        model = IWAE(6, objective=objective, **fixed)
        model.compile(keras.optimizers.SGD(0.1))
        history = model.fit(X, epochs=2, shuffle=False, verbose=0).history
        found.append([*np.ravel(history["loss"]), 0.5 if model.beta is None else float(model.beta)])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert (found[0][-1] != 0.5) is learned


@pytest.mark.slow
def test_the_posterior_climbs_its_own_bound_where_the_two_start_as_one():
    """beta and 1 - beta are the same at 1/2, and no more where beta has moved. Of a weight of 0 there is no share."""
    start, parameter = asks_for_what_it_learns(), tf.constant(0.0)
    swapped = type("Swapped", (type(start),), {"inference_terms": lambda self, k, beta: self.terms(k, 1.0 - beta)})()
    model = IWAE(6, latent_dim=2, hidden=(3,), num_samples=4, objective=swapped, estimator="reparameterized")
    for weight in model.generative.trainable_variables:
        weight.assign(100.0 * weight)
    seed = tf.constant([1, 2])
    assert np.min(tf.nn.softmax(model.log_weights(X, 4, seed), axis=0)) == 0.0

    def gradients(objective, **options):
        given = model.posterior, model.generative, tf.constant(X), 4, seed, objective, model.estimator
        return bound_gradients(*given, **options)

    found = gradients(swapped, parameter=parameter)
    for one, other in (
        (found.posterior, gradients(ELBO()).posterior),
        (found.generative, gradients(IWAEBound()).generative),
    ):
        for each, wanted in zip(one, other, strict=True):
            np.testing.assert_allclose(each, wanted, rtol=1e-4, atol=1e-4)


def test_own_terms_may_sum_to_any_number_and_are_drawn_by_their_shares():
    """Each drawn coefficient is divided by how often it was expected: those numbers sum to m."""
    weights = tf.constant(np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32))
    for sums in (1.0, 3.0):
        objective = terms(Term(sums, 6))
        drawn = resample(objective, weights, None, 6, tf.constant([0, 1]))
        every = tf.nn.softmax(weights, axis=0)
        expected = 6.0 * np.take_along_axis(every.numpy(), drawn.index.numpy(), axis=0)
        np.testing.assert_allclose(drawn.expected, expected, rtol=1e-5)


def test_an_autoencoder_of_a_user_s_own_climbs_what_it_reports():
    """Steps of plain gradient descent: a bound of twice the size is a step of twice the size."""
    moved = []
    for objective in (Reconstruction(), terms(Term(2.0, 1), parent=Reconstruction)):
        model = IWAE(6, latent_dim=2, hidden=(3,), objective=objective)
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        before = [weight.numpy() for weight in model.trainable_variables]
        model.train_on_batch(X)
        moved.append([weight.numpy() - old for weight, old in zip(model.trainable_variables, before, strict=True)])
    for one, two in zip(*moved, strict=True):
        np.testing.assert_allclose(two, 2.0 * one, rtol=1e-4, atol=1e-7)


METHODS = types.FunctionType, property, classmethod
PUBLIC = {
    Posterior: {"distribution", "sample_and_log_prob", "log_prob", "mean", "reparameterize"},
    Objective: {"terms", "inference_terms", "get_config", "from_config"},
    Prior: {"distribution", "log_prob", "sample", "of_noise", "worked_out", "decoded", "build", "get_config"},
    LatentModel: {
        *("door", "metrics", "build", "call"),
        *("check_finite", "get_config", "from_config"),
        # Refused.
        *("sample", "export"),
    },
    StartingModel: {"initialize_output_bias", "initialize_pseudo_inputs", "restart_unused_pseudo_inputs"},
    IWAE: {
        *("training_samples", "deterministic", "beta", "train_step", "test_step"),
        # Refused.
        *("log_terms", "log_weights"),
    },
    AVB: {"build", "train_step", "test_step"},
}


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_a_method_that_nobody_has_thought_of_is_in_none_of_the_tables(kind):
    """What is new has to be followed wherever it is said, or held to what it says again, as above."""
    own = {name for name in vars(kind) if not name.startswith("_") and isinstance(vars(kind)[name], METHODS)}
    assert own == PUBLIC[kind]


class Far(StandardNormalPrior):
    @property
    def distribution(self):
        return tfd.MultivariateNormalDiag(tf.fill([2], 5.0), tf.ones(2))


def test_a_prior_has_the_density_of_what_it_draws():
    z = tf.zeros([3, 2])
    np.testing.assert_allclose(Far(2).log_prob(z), Far(2).distribution.log_prob(z))
    np.testing.assert_allclose(Far(2).log_prob(z), StandardNormalPrior(2).log_prob(z) - 25.0, rtol=1e-5)


class Wide(DiagonalGaussian):
    """Half as sure of its draws."""

    def _log_prob(self, value):
        return 0.5 * super()._log_prob(value)


def test_a_gaussian_of_a_user_s_own_has_the_slope_and_the_draws_of_its_own_density(monkeypatch):
    """Formulas of ours would be those of the Gaussian that it is no more."""
    ours, own = DiagonalGaussian(tf.zeros([3, 2]), tf.ones([3, 2])), Wide(tf.zeros([3, 2]), tf.ones([3, 2]))
    known = [is_known(q, kind) for q in (ours, own) for kind in (DiagonalGaussian, tfd.MultivariateNormalDiag, Wide)]
    assert known == [True, True, False, False, False, False]
    posterior = gives(lambda loc: diagonal(loc, kind=Wide))()
    model = IWAE(6, hidden=(3,), num_samples=3, posterior=posterior)
    assert model.get_config()["estimator"] == "dreg"
    given = posterior, model.generative, X, 3, tf.constant([0, 1]), model.objective, model.estimator
    module = importlib.import_module("keras_iwae.bounds.gradients")
    found = module.bound_gradients(*given).posterior
    # The control, with the formula's slope in the place of the tape's.
    monkeypatch.setattr(module, "is_known", lambda q, *kinds: isinstance(q, kinds))
    wrong = module.bound_gradients(*given).posterior
    assert all(np.abs(one - other).max() > 1e-3 for one, other in zip(found, wrong, strict=True))
    assert (
        importlib.import_module("keras_iwae.evaluation.latents")._layers(model, posterior.distribution(X), None) == []
    )
    module = importlib.import_module("keras_iwae.evaluation.adapted")
    assert isinstance(module.adapted(model, X, 0, tf.constant([[0, 1]] * 4)), module.FromEncoder)
