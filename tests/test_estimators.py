"""Mean gradients of every legal pair against the gradient of the bound, and wrong variants that the same test refuses.

The reference differentiates the bound itself through reparameterized samples, or, for binary latents, sums over all
tuples of states. Blocks of replicated images give means and standard errors; a test allows four of them.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from keras_iwae import IWAE, posteriors
from keras_iwae.bounds.estimators import ESTIMATORS, Estimator, check_pair, derivative
from keras_iwae.bounds.gradients import bound_gradients
from keras_iwae.bounds.objectives import CIWAE, ELBO, JVI, MIWAE, PIWAE, IWAEBound, Reconstruction, Renyi
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.priors import VampPrior

K, BLOCKS, REPLICAS = 6, 48, 160
SHAPE = (3, 2, 1)
X = (np.random.default_rng(3).random((3, *SHAPE)) < 0.5).astype(np.float32)
OBJECTIVES = [IWAEBound(), ELBO(), MIWAE(num_groups=3), PIWAE(num_groups=3), CIWAE(beta=0.3), Renyi(alpha=0.4), JVI()]


FLOWS = {
    "planar": (posteriors.PlanarPosterior, {"num_steps": 2}),
    "iaf": (posteriors.IAFPosterior, {"num_steps": 2, "hidden": (5,)}),
}


def make_model(layers):
    if layers in FLOWS:
        family, options = FLOWS[layers]
        settings = {"hidden": (4,), "posterior": family(dense_encoder((4,), seed=1), 2, seed=3, **options)}
    else:
        settings = {
            "one": {"latent_dim": 2, "hidden": (4,)},
            "two": {"latent_dim": (2, 1), "hidden": ((4,), (3,))},
            "auxiliary": {"latent_dim": 2, "hidden": (4,), "posterior": "auxiliary"},
            "binary": {"latent_dim": 2, "hidden": (4,), "posterior": "bernoulli", "estimator": "vimco"},
            "vamp": {"latent_dim": 2, "hidden": (4,), "prior": VampPrior(2, num_components=3)},
        }[layers]
    model = IWAE(SHAPE, num_samples=K, seed=1, **settings)
    # Away from the start, where the posterior is close to the prior and wrong weights would hardly show.
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        variable.assign(1.3 * variable + 0.3 * rng.normal(size=variable.shape))
    return model


class Moments(NamedTuple):
    mean: np.ndarray
    error: np.ndarray


def other(seed, index):
    return tf.random.fold_in(seed, 1000 + index)


def flat(gradients):
    return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)


def moments(step):
    """Mean and standard error of the two parts' gradients over blocks; `step` maps a seed to two lists of gradients."""
    parts = tf.function(lambda seed: [flat(part) for part in step(seed)], autograph=False)
    blocks = [[part.numpy() for part in parts(tf.constant([5, block]))] for block in range(BLOCKS)]
    stacked = [np.stack(part).astype(np.float64) for part in zip(*blocks, strict=True)]
    return [Moments(part.mean(axis=0), part.std(axis=0, ddof=1) / np.sqrt(BLOCKS)) for part in stacked]


def distance(one, other):
    """Largest difference between two sets of moments, in standard errors."""
    error = np.sqrt(one.error**2 + other.error**2)
    return np.max(np.abs(one.mean - other.mean) / (error + 1e-7))


def estimated(model, objective, estimator, **options):
    x = tf.tile(X, [REPLICAS, 1, 1, 1])
    estimator = ESTIMATORS[estimator] if isinstance(estimator, str) else estimator

    def step(seed):
        found = bound_gradients(model.posterior, model.generative, x, K, seed, objective, estimator, **options)
        return found.generative, found.posterior

    return moments(step)


def value(terms, log_weights):
    """A bound, written out anew."""
    total = 0.0
    for coefficient, size, power, leave_one_out in terms:
        groups = tf.stack([log_weights[i : i + size] for i in range(0, K, size)])
        if leave_one_out:
            # A group of the others for each.
            kept = [[j for j in range(size) if j != i] for i in range(size)]
            groups, size = tf.concat([tf.gather(groups, others, axis=1) for others in kept], axis=0), size - 1
        within = (tf.reduce_logsumexp(power * groups, axis=1) - np.log(size)) / power
        total += coefficient * tf.reduce_mean(within, axis=0)
    return tf.reduce_mean(total)


_references = {}


def reference(layers, objective, kl_weight=1.0):
    """Moments of the plain gradient of the bound, through samples that are functions of the posterior's parameters."""
    key = layers, repr(objective), kl_weight
    if key not in _references:
        model, x = make_model(layers), tf.tile(X, [REPLICAS, 1, 1, 1])

        def step(seed):
            with tf.GradientTape(persistent=True) as tape:
                z, log_q = model.posterior.sample_and_log_prob(x, K, other(seed, 1))
                kl_part = kl_weight * (model.generative.log_prior(z) - log_q)
                weights = model.generative.distribution(z).log_prob(x) + kl_part
                generative, inference = value(objective.terms(K), weights), value(objective.inference_terms(K), weights)
            of_generative = tape.gradient(generative, [v.value for v in model.generative.trainable_variables])
            return of_generative, tape.gradient(inference, [v.value for v in model.posterior.trainable_variables])

        _references[key] = moments(step)
    return _references[key]


def assert_unbiased(found, expected):
    for part, like in zip(found, expected, strict=True):
        assert np.abs(like.mean).max() > 10.0 * like.error.max() > 0.0  # there is something to be wrong about
        assert distance(part, like) < 4.0


def legal(objective, estimator):
    try:
        check_pair(estimator, objective, K, reparameterized=True)
    except ValueError:
        return False
    return True


# Reweighted wake-sleep follows no gradient of a bound and has a test of its own.
LEGAL = [
    (layers, objective, estimator)
    for layers, objective, estimator in itertools.product(["one", "two"], OBJECTIVES, ESTIMATORS)
    if estimator != "rws" and legal(objective, estimator)
]

# JVI times a score has tails so heavy that these blocks do not know their own errors: it has the exact sum below.
UNBIASED = [case for case in LEGAL if case[1:] != (JVI(), "reinforce")]


@pytest.mark.statistical
@pytest.mark.parametrize(("layers", "objective", "estimator"), UNBIASED, ids=lambda part: str(part).split("(")[0])
def test_mean_gradient_is_the_gradient_of_the_bound(layers, objective, estimator):
    assert_unbiased(estimated(make_model(layers), objective, estimator), reference(layers, objective))


@pytest.mark.statistical
@pytest.mark.parametrize("family", ["iaf", "auxiliary"])
def test_mean_gradient_where_log_q_is_differentiated_as_a_whole(family):
    objective = MIWAE(num_groups=3)
    assert_unbiased(estimated(make_model(family), objective, "reparameterized"), reference(family, objective))


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("estimator", "options"),
    [("reparameterized", {}), ("dreg", {}), ("dreg", {"backward_samples": 2}), ("vimco", {})],
    ids=lambda part: str(part),
)
def test_a_prior_that_is_made_of_the_posterior_moves_it(estimator, options):
    model, objective = make_model("vamp"), IWAEBound()
    assert_unbiased(estimated(model, objective, estimator, **options), reference("vamp", objective))


@pytest.mark.statistical
def test_without_its_way_through_such_a_prior_the_encoder_has_another_gradient(monkeypatch):
    model, right = make_model("vamp"), reference("vamp", IWAEBound())
    monkeypatch.setattr(VampPrior, "through_posterior", False)
    assert distance(estimated(model, IWAEBound(), "dreg")[1], right[1]) > 6.0


@pytest.mark.statistical
def test_resampled_backward_pass_with_a_flow():
    """DReG takes the path alone, at draws that the flow is inverted for."""
    found = estimated(make_model("planar"), IWAEBound(), "dreg", backward_samples=2)
    assert_unbiased(found, reference("planar", IWAEBound()))


@pytest.mark.statistical
def test_a_flow_whose_draws_stand_still_has_another_gradient():
    model, right = make_model("planar"), reference("planar", IWAEBound())
    vars(model.posterior)["reparameterize"] = lambda q, z: tf.stop_gradient(z)
    assert distance(estimated(model, IWAEBound(), "dreg", backward_samples=2)[1], right[1]) > 6.0


def test_iaf_refuses_what_needs_log_q_at_a_given_z():
    settings = {"latent_dim": 2, "hidden": (4,), "posterior": "iaf", "num_samples": K}
    for estimator in ("stl", "dreg", "vimco", "reinforce", "rws"):
        with pytest.raises(ValueError, match=r"`estimator`. Expected 'reparameterized' .* each latent unit.*'maf'"):
            IWAE(SHAPE, estimator=estimator, objective="elbo" if estimator == "stl" else "iwae", **settings)


def test_the_legal_pairs_are_those_of_the_docs():
    pairs = {(type(objective).__name__, estimator) for layers, objective, estimator in LEGAL if layers == "one"}
    names = {type(objective).__name__ for objective in OBJECTIVES}
    everywhere = {(name, estimator) for name in names for estimator in ("reparameterized", "dreg", "reinforce")}
    assert pairs == everywhere | {("ELBO", "stl")} | {(name, "vimco") for name in names - {"ELBO", "CIWAE", "JVI"}}


@pytest.mark.statistical
@pytest.mark.parametrize("drawn", [2, K])
@pytest.mark.parametrize("estimator", ["reparameterized", "dreg"])
@pytest.mark.parametrize(
    ("layers", "objective"), [("one", IWAEBound()), ("one", PIWAE(num_groups=3)), ("two", IWAEBound())], ids=str
)
def test_resampled_backward_pass_is_unbiased(layers, objective, estimator, drawn):
    found = estimated(make_model(layers), objective, estimator, backward_samples=drawn)
    assert_unbiased(found, reference(layers, objective))


@pytest.mark.statistical
@pytest.mark.parametrize("estimator", ["reparameterized", "dreg"])
def test_kl_weight(estimator):
    found = estimated(make_model("one"), IWAEBound(), estimator, kl_weight=0.4)
    assert_unbiased(found, reference("one", IWAEBound(), kl_weight=0.4))
    assert distance(found[1], reference("one", IWAEBound())[1]) > 10.0


def squared(terms, log_weights, kl_weight):
    weights = derivative(terms, log_weights)
    return weights**2, None


class _Squared(Estimator):
    def coefficients(self, objective, log_weights, kl_weight, parameter):
        found = super().coefficients(objective, log_weights, kl_weight, parameter)
        return found._replace(generative=found.generative**2)


@pytest.mark.statistical
@pytest.mark.parametrize("layers", ["one", "two"])
def test_wrong_variants_are_refused(layers):
    model, right = make_model(layers), reference(layers, IWAEBound())
    # DReG that squares the decoder's weights too.
    both_squared = estimated(model, IWAEBound(), _Squared(squared, reparameterizes=True))
    assert distance(both_squared[0], right[0]) > 10.0
    # Sticking the landing with more than one sample in a group.
    assert distance(estimated(model, IWAEBound(), "stl")[1], right[1]) > 6.0
    # DReG's weights without the square.
    assert distance(estimated(model, ELBO(), Estimator(squared, True))[1], reference(layers, ELBO())[1]) > 6.0
    # The jackknife's coefficients squared where those of each bound that it is made of should be.
    assert distance(estimated(model, JVI(), Estimator(squared, True))[1], reference(layers, JVI())[1]) > 6.0

    # Weights that are not stopped: the gradient of sum_k v_k log w_k.
    x = tf.tile(X, [REPLICAS, 1, 1, 1])

    def leaking(seed):
        with tf.GradientTape() as tape:
            weights = model.log_weights(x, K, seed)
            total = tf.reduce_mean(tf.reduce_sum(tf.nn.softmax(weights, axis=0) * weights, axis=0))
        variables = [*model.generative.trainable_variables, *model.posterior.trainable_variables]
        gradients, cut = tape.gradient(total, [v.value for v in variables]), len(model.generative.trainable_variables)
        return gradients[:cut], gradients[cut:]

    assert all(distance(part, like) > 6.0 for part, like in zip(moments(leaking), right, strict=True))


def exact_binary_gradients(model, objective):
    """Gradient of the bound summed over every tuple of K states of two binary latents."""
    states = np.array(list(itertools.product([0.0, 1.0], repeat=2)), np.float32)
    tuples = np.array(list(itertools.product(range(4), repeat=K)))
    z = tf.tile(states[:, None], [1, len(X), 1])
    with tf.GradientTape(persistent=True) as tape:
        log_q = model.posterior.distribution(X).log_prob(z)
        log_joint = model.generative.distribution(z).log_prob(X) + model.generative.log_prior(z)
        log_weights = tf.gather(log_joint - log_q, tuples.T)
        probability = tf.exp(tf.reduce_sum(tf.gather(log_q, tuples.T), axis=0))
        flat_weights = tf.reshape(log_weights, [K, -1])
        bound = tf.reshape(objective(flat_weights), tf.shape(probability))
        expected = tf.reduce_mean(tf.reduce_sum(probability * bound, axis=0))
    parts = (model.generative.trainable_variables, model.posterior.trainable_variables)
    return [flat(tape.gradient(expected, [v.value for v in part])).numpy() for part in parts]


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("objective", "estimator"),
    [
        *itertools.product([IWAEBound(), MIWAE(num_groups=3)], ["vimco", "reinforce"]),
        (JVI(), "reinforce"),
    ],
    ids=str,
)
def test_binary_latents_against_the_exact_sum(objective, estimator):
    model = make_model("binary")
    found, exact = estimated(model, objective, estimator), exact_binary_gradients(model, objective)
    for part, like in zip(found, exact, strict=True):
        assert np.max(np.abs(part.mean - like) / (part.error + 1e-7)) < 4.0
        assert np.abs(like).max() > 10.0 * part.error.min()
    if estimator == "vimco":
        # Its baseline is what it is for.
        assert np.mean(estimated(model, objective, "reinforce")[1].error / (found[1].error + 1e-9)) > 2.0


@pytest.mark.statistical
@pytest.mark.parametrize("layers", ["one", "two", "binary"])
def test_reweighted_wake_sleep(layers):
    model, x = make_model(layers), tf.tile(X, [REPLICAS, 1, 1, 1])

    def both_phases(seed):
        with tf.GradientTape(persistent=True) as tape:
            q = model.posterior.distribution(x)
            z = tf.stop_gradient(q.sample([K], seed=other(seed, 1)))
            log_q, joint = q.log_prob(z), model.generative.log_joint(x, z)
            weights = tf.stop_gradient(tf.nn.softmax(joint - log_q, axis=0))
            dreams = model.generative.sample(3 * REPLICAS, other(seed, 2))
            asleep = model.posterior.distribution(tf.stop_gradient(dreams.events)).log_prob(dreams.latents)
            awake = tf.reduce_mean(tf.reduce_sum(weights * log_q, axis=0))
            inference = 0.5 * awake + 0.5 * tf.reduce_mean(asleep)
            generative = tf.reduce_mean(tf.reduce_sum(weights * joint, axis=0))
        return (
            tape.gradient(generative, [v.value for v in model.generative.trainable_variables]),
            tape.gradient(inference, [v.value for v in model.posterior.trainable_variables]),
        )

    assert_unbiased(estimated(model, IWAEBound(), "rws"), moments(both_phases))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_encoder_gradient_vanishes_where_q_is_the_true_posterior(estimator):
    """A decoder that ignores z makes the prior the true posterior; with q there no sample has anything to say."""
    model = make_model("one")
    for variable in (*model.posterior.loc_head.weights, *model.posterior.log_scale_head.weights):
        variable.assign(tf.zeros_like(variable))
    model.generative.decoder.trainable_variables[0].assign(tf.zeros([2, 4]))
    objective = ELBO() if estimator == "stl" else IWAEBound()
    found = {
        name: bound_gradients(
            model.posterior, model.generative, X, K, tf.constant([1, 1]), objective, ESTIMATORS[name]
        ).posterior
        for name in (estimator, "reparameterized")
    }
    assert max(np.abs(gradient).max() for gradient in found[estimator]) < 1e-5
    assert max(np.abs(gradient).max() for gradient in found["reparameterized"]) > 1e-2


def test_refused_pairs_say_what_is_allowed():
    refused = [
        ("stl", IWAEBound(), True, "'dreg' in its place"),
        ("stl", MIWAE(num_groups=3), True, "groups of 2 samples"),
        ("vimco", ELBO(), True, "'reinforce' in its place"),
        ("vimco", CIWAE(), True, "groups of one sample"),
        ("vimco", JVI(), True, "'reinforce' in its place for groups of which one is left out"),
        ("stl", JVI(), True, "'dreg' in its place"),
        ("rws", JVI(), True, "objective 'iwae'"),
        ("rws", ELBO(), True, "objective 'iwae'"),
        ("rws", PIWAE(num_groups=3), True, "objective 'iwae'"),
        ("dreg", Reconstruction(), True, "'reparameterized'"),
        ("reparameterized", IWAEBound(), False, "'vimco' or 'reinforce' or 'rws'"),
        ("dreg", IWAEBound(), False, "discrete"),
        ("dreg", ELBO(), False, "'reinforce' for draws that are no differentiable function"),
    ]
    for name, objective, reparameterized, message in refused:
        with pytest.raises(ValueError, match=f"`estimator`. Expected.*{message}"):
            check_pair(name, objective, K, reparameterized)
    check_pair("stl", MIWAE(num_groups=K), K, True)
    with pytest.raises(ValueError, match="Expected one of 'reparameterized'"):
        check_pair("magic", IWAEBound(), K, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "iwae", "estimator": "stl"}, "`estimator`"),
        ({"posterior": "bernoulli"}, "`estimator`. Expected 'vimco' or .*discrete.*Received: 'auto', which stands for"),
        ({"posterior": "bernoulli", "objective": "elbo"}, "`estimator`. Expected 'reinforce' for.*Received: 'auto'"),
        (
            {"posterior": "bernoulli", "objective": "ae", "num_samples": 1},
            "`objective`. Expected one that draws samples.*Received: Reconstruction",
        ),
        ({"objective": "miwae"}, "`num_groups`. Expected a divisor of .*num_groups=6.*; it is 8 where none is given"),
        ({"posterior": "cauchy"}, "`posterior`"),
        ({"backward_samples": 7}, "`backward_samples`. Expected at most num_samples = 6"),
        ({"backward_samples": 0}, "`backward_samples`"),
        ({"backward_samples": 2, "objective": "jvi"}, "`backward_samples`.*no less than 0"),
        ({"num_samples": 1, "objective": "jvi"}, "`num_samples`. Expected at least 2"),
        ({"posterior": "mixture", "objective": "jvi"}, "`objective`. Expected one that leaves no sample out"),
        ({"backward_samples": 2, "estimator": "vimco"}, "`backward_samples`"),
        ({"backward_samples": 1, "objective": "ae", "num_samples": 1}, "`backward_samples`"),
        ({"kl_warmup_steps": 5, "estimator": "rws"}, "`kl_warmup_steps`"),
        ({"kl_warmup_steps": -1}, "`kl_warmup_steps`"),
        ({"objective": MIWAE(num_groups=4)}, "`num_groups`. Expected a divisor of num_samples = 6"),
        ({"latent_dim": (2, 1), "hidden": (4, 4)}, "`hidden`. Expected 2 sequences"),
    ],
)
def test_the_model_refuses_what_makes_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        IWAE(SHAPE, **{"latent_dim": 2, "hidden": (4,), "num_samples": K, **settings})


def exact_signal(power, log_weights):
    """The bound less that with each weight in turn swapped for the geometric mean of the others, in float64."""
    count, powers = len(log_weights), power * np.asarray(log_weights, np.float64)
    others = (powers.sum(axis=0) - powers) / (count - 1)
    swapped = np.where(np.eye(count, dtype=bool)[..., np.newaxis], others, powers)
    return (special.logsumexp(powers, axis=0) - special.logsumexp(swapped, axis=1)) / power


@pytest.mark.parametrize("alpha", [-30.0, 0.0, 0.5, 0.9999, 0.999999, 1.000001, 3.0, 30.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 2.0, 60.0])
def test_the_signal_of_vimco_keeps_its_digits(alpha, spread):
    """It is what one sample changes of a bound of -90 nats, which may be next to nothing."""
    log_weights = (-90.0 + spread * np.random.default_rng(0).normal(size=(10, 4))).astype(np.float32)
    terms = Renyi(alpha).terms(10)
    _, score = ESTIMATORS["vimco"].posterior_coefficients(terms, tf.constant(log_weights), tf.constant(0.0))
    # As float32 has it, which is close to 1.
    expected = exact_signal(terms[0].power, log_weights)
    np.testing.assert_allclose(-score, expected, rtol=2e-5, atol=2e-6 * spread + 1e-9)
