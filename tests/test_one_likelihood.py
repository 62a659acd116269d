"""Likelihoods of a user's own that override one method of ours: what is said of p(x|z) changes, or it is refused."""

import inspect
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE
from keras_iwae.foundation import ColumnSupports, Support
from keras_iwae.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
    MixedLikelihood,
    PoissonLikelihood,
    SelfMasking,
    StudentTLikelihood,
    probes,
)
from keras_iwae.likelihoods.contract import check_contract

tfd = tfp.distributions
D, F, K, B = 4, 3, 12, 5
FEATURES = tf.constant(np.random.default_rng(0).normal(size=(K, B, F)), tf.float32)
X = tf.constant(np.random.default_rng(1).integers(0, 2, (B, D)), tf.float32)
WITH_SHORTCUTS = BernoulliLikelihood, CategoricalLikelihood
FAMILIES = {
    BernoulliLikelihood: (),
    CategoricalLikelihood: (3,),
    GaussianLikelihood: ("example",),
    StudentTLikelihood: (),
    PoissonLikelihood: (),
}


def built(kind, arguments, seed=1):
    likelihood = kind(*arguments, seed=seed)
    likelihood.describe_events((D,), seed)
    likelihood.build((None, F))
    return likelihood


def changed(kind, name, change):
    """A class whose method gives something else."""
    method = inspect.getattr_static(kind, name)
    return type("Odd", (kind,), {name: lambda self, *given, **named: change(method(self, *given, **named))})


def twice(found):
    """Other numbers of the same kind."""
    return tf.nest.map_structure(lambda each: 2.0 * each + 0.25, found)


# Methods whose change is one of the whole p(x|z), with the change.
FOLLOWED = {
    "call": lambda parameters: 0.5 * parameters + 0.25,
    "entries": {
        BernoulliLikelihood: lambda d: tfd.Bernoulli(probs=0.25 + 0.5 * d.probs_parameter(), dtype=tf.float32),
        CategoricalLikelihood: lambda d: tfd.Categorical(logits=0.5 * d.logits, dtype=tf.float32),
        GaussianLikelihood: lambda d: tfd.Laplace(d.loc + 1.0, 2.0 * d.scale),
        StudentTLikelihood: lambda d: tfd.Normal(d.loc + 1.0, 2.0 * d.scale),
    },
}
# Those that say the same again: changed alone they are refused by name.
REFUSED = (
    *("entry_log_prob", "log_prob", "log_prob_of", "training_log_prob", "distribution"),
    *("mean", "mean_of", "moments_of", "sample", "served", "level_probabilities", "check"),
)
# What says nothing of the density of given parameters, or is asked wherever it is said.
ASKED = {
    "served",
    "widen",
    "parameters_of_mean",
    "initialize",
    "to_grey",
    "first_parameters",
    "describe_events",
    "numbers",
    "build",
}
KERAS_OWN = set(dir(keras.Layer)) - {"build", "call"} | {"says_as", "log_mean"}


def said(likelihood):
    """All that is asked of p(x|z) anywhere, as numbers."""
    parameters = likelihood(FEATURES)
    found = {
        "log_prob": likelihood.log_prob(X, FEATURES),
        # Too few draws for a head that is fused.
        "log_prob of few": likelihood.log_prob(X, FEATURES[:2])[1],
        "log_prob of some": likelihood.log_prob(X, FEATURES, X > 0.0),
        "log_prob_of": likelihood.log_prob_of(X)(FEATURES),
        "training_log_prob": likelihood.training_log_prob(X, FEATURES),
        "entry_log_prob": likelihood.entry_log_prob(X, parameters),
        "distribution": likelihood.distribution(FEATURES).log_prob(X),
        "served": likelihood.served(FEATURES)[likelihood.served_names[1]],
        "sample": likelihood.sample(FEATURES, tf.constant([0, 1]))[0],
    }
    if not isinstance(likelihood, CategoricalLikelihood):
        found["mean"] = likelihood.entries(parameters).mean()
    if isinstance(likelihood, (BernoulliLikelihood, CategoricalLikelihood)):
        found["level_probabilities"] = likelihood.level_probabilities(parameters)
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.__name__)
def test_every_public_method_is_followed_or_refused(kind):
    walked = {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))} - KERAS_OWN
    methods = {name for name in walked if inspect.isfunction(inspect.getattr_static(kind, name, None))}
    assert methods <= {*FOLLOWED, *REFUSED, *ASKED}, "a method that nobody has thought of"
    # The other families say these as those two do.
    for name in REFUSED if kind in WITH_SHORTCUTS else ("log_prob",):
        change = twice if name not in ("distribution", "check", "log_prob_of") else _shifted
        odd = built(changed(kind, name, change), FAMILIES[kind])
        if name == "level_probabilities" and not isinstance(odd.levels, int):
            continue
        with pytest.raises(ValueError, match=rf"^Invalid .*`likelihood`\. Expected a class .*`{name}`"):
            check_contract(odd, (F,))


def _shifted(given):
    if callable(given):
        return lambda features: twice(given(features))
    return tfd.Independent(tfd.Normal(tf.zeros([K, B, D])[:, :1], 3.0), 1) if hasattr(given, "log_prob") else given


# Those with shortcuts, and one without.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *itertools.product(FOLLOWED, list(FAMILIES)[:2]),
        ("entries", StudentTLikelihood),
        ("entries", GaussianLikelihood),
    ],
)
def test_what_changes_the_density_changes_it_everywhere(name, kind):
    change = FOLLOWED[name] if callable(FOLLOWED[name]) else FOLLOWED[name][kind]
    plain, odd = built(kind, FAMILIES[kind]), built(changed(kind, name, change), FAMILIES[kind])
    check_contract(odd, (F,))
    before, after = said(plain), said(odd)
    assert all(np.abs(after[each] - before[each]).max() > 1e-3 for each in before), "something stays what it was"
    entries = odd.entries(odd(FEATURES)).log_prob(X).numpy()
    sums = dict.fromkeys(("log_prob", "log_prob_of", "training_log_prob", "distribution"), entries.sum(-1))
    sums |= {"log_prob of few": entries.sum(-1)[1], "log_prob of some": (entries * X.numpy()).sum(-1)}
    for each, wanted in {"entry_log_prob": entries, **sums}.items():
        np.testing.assert_allclose(after[each], wanted, rtol=1e-4, atol=1e-4, err_msg=each)
    if "mean" in after:
        for each in ("served", "sample"):
            np.testing.assert_allclose(after[each], after["mean"], rtol=1e-4, atol=1e-5, err_msg=each)
    if "level_probabilities" in after:
        shares = after["level_probabilities"]
        np.testing.assert_allclose(shares.sum(-1), np.ones((K, B, D)), rtol=1e-5)
        taken = np.take_along_axis(shares, np.broadcast_to(X.numpy(), (K, B, D)).astype(int)[..., np.newaxis], -1)[
            ..., 0
        ]
        np.testing.assert_allclose(np.log(taken), entries, rtol=1e-4, atol=1e-5)


def test_a_fused_head_is_used_where_nothing_is_changed():
    """A class that only adds something keeps the fast path, and the numbers of ours to the bit."""
    ours, own = built(BernoulliLikelihood, ()), built(type("Own", (BernoulliLikelihood,), {"more": 3}), ())
    np.testing.assert_array_equal(ours.log_prob(X, FEATURES), own.log_prob(X, FEATURES))
    assert own._fused(None)
    assert own.says_as(BernoulliLikelihood)
    fair = {"entries": lambda self, parameters: tfd.Bernoulli(logits=0.0 * parameters, dtype=tf.float32)}
    own = built(type("Fair", (BernoulliLikelihood,), fair), ())
    assert not own.says_as(BernoulliLikelihood)
    np.testing.assert_allclose(own.log_prob(X, FEATURES), np.full((K, B), D * np.log(0.5)), rtol=1e-5)


def test_a_log_prob_of_ones_own_is_what_is_asked_for_many_draws():
    """One that says the same, as a faster one would, is called, and not the head of the family."""
    asked = []

    def log_prob(self, x, features, mask=None):
        asked.append(features)
        return BernoulliLikelihood.log_prob(self, x, features, mask)

    own = built(type("Faster", (BernoulliLikelihood,), {"log_prob": log_prob}), ())
    np.testing.assert_array_equal(own.log_prob_of(X)(FEATURES), BernoulliLikelihood.log_prob(own, X, FEATURES))
    assert len(asked) == 1


@keras.saving.register_keras_serializable("tests")
class HalfSure(BernoulliLikelihood):
    """Coins that never are sure."""

    def entries(self, parameters):
        return tfd.Bernoulli(probs=0.25 + 0.5 * tf.sigmoid(parameters), dtype=tf.float32)


@keras.saving.register_keras_serializable("tests")
class Tempered(BernoulliLikelihood):
    def entry_log_prob(self, x, parameters):
        return 0.5 * super().entry_log_prob(x, parameters)


@keras.saving.register_keras_serializable("tests")
class Laplace(GaussianLikelihood):
    def entries(self, parameters):
        return FOLLOWED["entries"][GaussianLikelihood](super().entries(parameters))


def test_columns_of_a_table_are_held_to_it_too():
    rows = built(MixedLikelihood, (["bernoulli", "bernoulli", HalfSure(), "gaussian"],))
    check_contract(rows, (F,))
    entries = rows.entries(rows(FEATURES)).log_prob(X)
    np.testing.assert_allclose(rows.log_prob(X, FEATURES), tf.reduce_sum(entries, axis=-1), rtol=1e-4)
    with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class whose `entry_log_prob`.*Tempered"):
        check_contract(built(MixedLikelihood, (["gaussian"] * 3 + [Tempered()],)), (F,))
    # What is missing of it is no integral over a normal.
    with pytest.raises(ValueError, match=r"`missingness`\. Expected columns that are Gaussian.*column 3, a Laplace"):
        SelfMasking().of_likelihood(built(MixedLikelihood, (["gaussian"] * 3 + [Laplace()],)))


@pytest.mark.slow
def test_a_model_trains_evaluates_and_shows_the_same():
    model = IWAE(D, latent_dim=1, hidden=(3,), num_samples=K, likelihood=HalfSure(), seed=2)
    model.compile("sgd", run_eagerly=True)
    # Of coins that are at least a quarter unsure nothing is more probable than 3/4 an entry.
    reconstruction = model.evaluate(X, verbose=0, return_dict=True)["reconstruction"]
    z = tf.zeros([K, B, 1])
    log_likelihood = model.generative.log_likelihood(X, z)
    wanted = model.generative.distribution(z).log_prob(X)
    np.testing.assert_allclose(log_likelihood, wanted, rtol=1e-5)
    assert reconstruction < D * np.log(0.75)
    # Its bias would be of a coin that is surer than it.
    with pytest.raises(ValueError, match=r"`parameters_of_mean\(mean\)` are parameters of that mean.*HalfSure"):
        model.initialize_output_bias(np.full(D, 0.7))
    for likelihood in (Tempered(), type("Odd", (HalfSure,), {"check": lambda *a, **o: None})()):
        with pytest.raises(ValueError, match="`likelihood`"):
            IWAE(D, latent_dim=1, hidden=(3,), likelihood=likelihood)


def of(change):
    """A `log_prob` of other values than it is given."""
    return lambda self, x, features, mask=None: super(type(self), self).log_prob(change(x), features, mask)


class Slope(Likelihood):
    """A width is learned by which its density goes, and what it draws does not."""

    support = Support()

    def build(self, shape):
        super().build(shape)
        self.log_scale = self.add_weight(shape=(), initializer="zeros")

    def entries(self, parameters):
        return tfd.Normal(parameters, 1.0)

    def log_prob(self, x, features, mask=None):
        found = tfd.Normal(self(features), tf.exp(self.log_scale.value)).log_prob(x)
        return tf.reduce_sum(found if mask is None else tf.where(mask, found, 0.0), axis=-1)


SHOWN_NOWHERE_NEAR_0 = {
    "large counts": type("Odd", (PoissonLikelihood,), {"log_prob": of(lambda x: tf.minimum(x, 3.0))})(),
    "inner levels": type(
        "Odd", (DiscretizedLogisticLikelihood,), {"log_prob": of(lambda x: tf.where((x > 0) & (x < 3), 1.0, x))}
    )(4),
    "numbers below 0": type("Odd", (GaussianLikelihood,), {"log_prob": of(tf.abs)})(),
    "exchanged entries": type("Odd", (GaussianLikelihood,), {"log_prob": of(lambda x: x[..., ::-1])})(),
    "a learned weight": Slope(),
}


@pytest.mark.parametrize("name", SHOWN_NOWHERE_NEAR_0)
def test_what_differs_elsewhere_or_after_training_is_refused(name):
    odd = SHOWN_NOWHERE_NEAR_0[name]
    odd.describe_events((D,), 1)
    odd.build((None, F))
    before = [weight.numpy() for weight in odd.weights]
    with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class whose `log_prob`"):
        check_contract(odd, (F,))
    for weight, value in zip(odd.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("support", "wanted"),
    [
        (Support(0.0, 3.0, integers=True), [0, 1, 2, 3]),
        (Support(0.0, np.inf, integers=True), [0, 1, 2, 3, 4, 5, 6, 7]),
        (Support(-np.inf, 2.0), [2.0, 1.8, 1.5, 1.0, 0.5, 0.0, -2.0, -6.0]),
        (Support(0.0, 1.0), np.linspace(0, 1, 9)),
        (Support(), [-0.2, -1.0, -2.0, -8.0, 0.0, 0.5, 1.5, 4.0]),
    ],
)
def test_each_entry_is_tried_at_values_from_end_to_end(support, wanted):
    odd = Slope()
    odd.describe_events((2, 2), 0)
    odd.support = support
    for column in np.reshape(probes.values(odd), (-1, 4)).T:
        np.testing.assert_allclose(np.sort(column), np.sort(wanted), rtol=1e-6)
    odd.support = ColumnSupports((support, Support(0.0, 1.0, integers=True)) * 2)
    odd.event_shape = (4,)
    found = probes.values(odd).numpy()
    assert set(found[:, 1]) == set(found[:, 3]) == {0.0, 1.0}
    np.testing.assert_allclose(np.unique(found[:, 2]), np.sort(wanted), rtol=1e-6)


def by_quantiles(scale):
    def sample(self, features, seed):
        entries = self.entries(self(features))
        share = tf.random.stateless_uniform(tf.shape(entries.mean()), seed, 1e-6, 1.0 - 1e-6)
        return entries.mean(), entries.mean() + scale * (entries.quantile(share) - entries.mean())

    return built(type("Odd", (GaussianLikelihood,), {"sample": sample}), ("example",))


@pytest.mark.slow
def test_draws_by_other_noise_are_of_the_same_law_or_of_another():
    check_contract(by_quantiles(1.0), (F,))
    for scale in (0.8, 1.25, -2.0):
        with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class whose `sample`"):
            check_contract(by_quantiles(scale), (F,))


@keras.saving.register_keras_serializable("tests")
class Cauchy(Likelihood):
    """What it draws has no mean."""

    support = Support()

    def entries(self, parameters):
        return tfd.Cauchy(parameters, 1.0)


@keras.saving.register_keras_serializable("tests")
class Located(Cauchy):
    def mean_of(self, parameters):
        return parameters


@pytest.mark.slow
@pytest.mark.parametrize("columns", [False, True])
def test_where_there_is_no_mean_the_class_says_what_is_shown(columns, eagerly):
    for kind in (Cauchy, Located):
        likelihood = MixedLikelihood(["gaussian"] * 3 + [kind()]) if columns else kind()
        model = IWAE(D, latent_dim=1, hidden=(3,), num_samples=3, likelihood=likelihood)
        model.compile("sgd")
        model.fit(X, verbose=0)
        assert np.isfinite(model.sample(2).events).all()
        if kind is Located:
            assert np.isfinite(model.predict(X, verbose=0)).all()
            assert np.isfinite(model.generative.likelihood.served(FEATURES[0])["mean"]).all()
            continue
        for predict in (model.predict_on_batch, model.predict):
            with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class with `mean_of.*Cauchy, .*NaN"):
                predict(X)


class InTraining(GaussianLikelihood):
    """A layer between features and parameters, which is never told that it is training."""

    between = None

    def __init__(self):
        super().__init__()
        self.layer = self.between()

    def call(self, features):
        return super().call(self.layer(features))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "refused"),
    [
        (lambda: keras.layers.Dropout(0.5, seed=1), True),
        (keras.layers.BatchNormalization, True),
        (lambda: keras.layers.LayerNormalization(), False),
    ],
    ids=["dropout", "batch normalization", "layer normalization"],
)
def test_what_would_take_no_effect_in_training_is_refused(layer, refused):
    likelihood = type("Own", (InTraining,), {"between": staticmethod(layer)})()
    if not refused:
        assert IWAE(6, latent_dim=2, hidden=(5,), likelihood=likelihood).generative.likelihood is likelihood
        return
    with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class that gives the same parameters in training"):
        IWAE(6, latent_dim=2, hidden=(5,), likelihood=likelihood)


def test_all_levels_are_asked_for_of_one_event_alone():
    """They take memory for each entry: 65,536 of 28 x 28 in float32 are 0.2 GB for each event."""
    seen = []

    class Own(DiscretizedLogisticLikelihood):
        def level_probabilities(self, parameters):
            seen.append(tuple(parameters.shape))
            return super().level_probabilities(parameters)

    IWAE(3, 2, (4,), likelihood=Own(levels=5))
    assert set(seen) == {(1, 1, 3, 2)}
