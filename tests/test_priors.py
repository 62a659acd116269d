"""Learned priors: densities that integrate to 1 and are those of the draws, and models that learn and save them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import AVB, IWAE, export_saved_model, importance_weighted_nll, load
from keras_iwae.evaluation import annealed_nll, conditional, inference_gap
from keras_iwae.evaluation.latents import latents
from keras_iwae.evaluation.places import drawn_by_batch
from keras_iwae.evaluation.pruning import pruned
from keras_iwae.experiments import ExperimentConfig, resume, samples, train
from keras_iwae.foundation.gaussian_mixture import gaussian_mixture_log_prob
from keras_iwae.networks import dense_encoder, gated_encoder
from keras_iwae.posteriors import SemiAmortizedPosterior
from keras_iwae.priors import (
    BernoulliPrior,
    FlowPrior,
    HierarchicalPrior,
    MixturePrior,
    Prior,
    StandardNormalPrior,
    VampPrior,
)
from keras_iwae.training import AveragesAfterEpochs, RestartUnusedPseudoInputs

tfd = tfp.distributions
PIXELS = 6
X = (np.random.default_rng(3).random((40, PIXELS)) < 0.5).astype(np.float32)
SMALL = {"event_shape": PIXELS, "latent_dim": 2, "hidden": (5,), "num_samples": 4, "seed": 1}
LEARNED = {
    "mixture": lambda: MixturePrior(2, num_components=3),
    "vamp": lambda: VampPrior(2, num_components=4),
    "flow": lambda: FlowPrior(2, num_layers=3, hidden=(4,)),
}


def moved(layer, spread=0.7):
    """The same with weights away from the start."""
    rng = np.random.default_rng(5)
    for variable in layer.trainable_variables:
        variable.assign(variable + spread * rng.normal(size=variable.shape))


def model_with(prior, **settings):
    return IWAE(**{**SMALL, **settings}, prior=prior)


@pytest.fixture(scope="module", params=LEARNED)
def model(request):
    model = model_with(LEARNED[request.param]())
    moved(model.generative)
    moved(model.posterior, 0.2)
    return model


@pytest.mark.slow
def test_densities_integrate_to_one_and_are_those_of_the_draws(model):
    prior, ends = model.generative.prior, 14.0
    axis = np.linspace(-ends, ends, 701).astype(np.float32)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = np.exp(prior.log_prob(grid).numpy().astype(np.float64)) * (axis[1] - axis[0]) ** 2
    assert density.sum() == pytest.approx(1.0, abs=2e-3)
    draws = prior.sample(20_000, tf.constant([1, 2])).numpy().astype(np.float64)
    statistics = [lambda z: z[..., 0], lambda z: z[..., 1], lambda z: z[..., 0] * z[..., 1]]
    statistics += [
        lambda z: np.cos(2.0 * z[..., 0]),
        lambda z: np.cos(2.0 * z[..., 1]),
        lambda z: (z[..., 0] > 0.5) * 1.0,
    ]
    for statistic in statistics:
        of_draws, exact = statistic(draws), np.sum(density * statistic(grid.astype(np.float64)))
        error = of_draws.std() / np.sqrt(len(draws))
        assert abs(of_draws.mean() - exact) < 4.0 * error + 2e-3
    # A control: of the standard normal the same statistics are others.
    normal = np.random.default_rng(0).normal(size=draws.shape)
    far = [abs(s(normal).mean() - np.sum(density * s(grid.astype(np.float64)))) > 0.03 for s in statistics]
    assert any(far)


@pytest.mark.slow
def test_log_likelihoods_are_those_of_quadrature(model):
    axis = np.linspace(-14.0, 14.0, 701).astype(np.float32)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    log_joint = model.generative.log_joint(X[:4], tf.tile(z, [1, 4, 1])).numpy().astype(np.float64)
    exact = -np.log(np.exp(log_joint).sum(axis=0) * (axis[1] - axis[0]) ** 2)
    # Half of the draws are the prior's, so that no weight is large.
    found = importance_weighted_nll(model, X[:4], 20_000, defensive=0.5, verbose=False)
    assert np.abs(-found.bound_per_example[20_000] - exact).max() < 0.05
    # A control: N(0, I) in the prior's place has another.
    normal = log_joint - model.generative.log_prior(z).numpy() + StandardNormalPrior(2).log_prob(z).numpy()
    assert np.abs(-np.log(np.exp(normal).sum(axis=0) * (axis[1] - axis[0]) ** 2) - exact).max() > 0.1


def test_a_unit_of_a_learned_prior_cannot_be_left_out(model):
    with pytest.raises(ValueError, match=r"`model`. Expected the prior N\(0, I\).* Received: a \w+Prior"):
        pruned(model, np.array([True, False]))


def test_many_gaussians_far_from_zero_and_narrow_are_told_apart():
    rng = np.random.default_rng(1)
    loc, log_scale = rng.normal(size=(30, 40)) * 3.0, rng.uniform(-6.0, 0.5, size=(30, 40))
    z = loc[rng.integers(0, 30, 50)] + np.exp(-5.0) * rng.normal(size=(50, 40))
    parts = [part.astype(np.float32) for part in (z, loc, log_scale)]
    found = gaussian_mixture_log_prob(*parts, -np.log(30.0)).numpy()
    z, loc, log_scale = (part.astype(np.float64)[:, np.newaxis] for part in parts)
    each = tfd.MultivariateNormalDiag(loc[:, 0], np.exp(log_scale[:, 0])).log_prob(z)
    exact = tf.reduce_logsumexp(each, axis=-1).numpy() - np.log(30.0)
    np.testing.assert_allclose(found, exact, rtol=2e-6, atol=2e-4)
    # A control: the same product of float32, whose terms cancel.
    precision = np.exp(-2.0 * log_scale[:, 0]).astype(np.float32)
    narrow = parts[0] ** 2 @ precision.T - 2.0 * parts[0] @ (parts[1] * precision).T
    narrow += (parts[1] ** 2 * precision + 2.0 * parts[2] + np.float32(np.log(2.0 * np.pi))).sum(axis=-1)
    assert np.abs(narrow.max(axis=0)).max() > 0.0
    rough = tf.reduce_logsumexp(-0.5 * narrow, axis=-1).numpy() - np.log(30.0)
    assert np.abs(rough - exact).max() > 0.05


def test_vamp_is_the_mean_of_the_posteriors_at_its_pseudo_inputs():
    model = model_with(LEARNED["vamp"]())
    moved(model.posterior)
    prior, z = model.generative.prior, np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    each = model.posterior.log_prob(z[:, :, np.newaxis].repeat(4, axis=2).reshape(15, 4, 2), prior.pseudo_inputs.value)
    expected = tf.reduce_logsumexp(each, axis=-1).numpy().reshape(3, 5) - np.log(4.0)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluate", "graphs"),
    [
        (lambda model: importance_weighted_nll(model, X[:3], 50, (), verbose=False).log_likelihood_per_example, 1),
        (
            lambda model: (
                importance_weighted_nll(
                    model, X[:3], 30, (), proposal="refined", verbose=False
                ).log_likelihood_per_example
            ),
            1,
        ),
        # Where chains start, their pilots, and the chains.
        (lambda model: annealed_nll(model, X[:3], 4, 5, 2, verbose=False).log_likelihood_per_example, 3),
        (lambda model: conditional(model, X[:3], 20).log_likelihood, 1),
        # What is fitted with its bound, the ELBO of a Gaussian, and the ascent.
        (lambda model: inference_gap(model, X[:3], num_steps=2, num_samples=20).log_likelihood, 3),
    ],
    ids=["amortized", "refined", "annealed", "conditional", "gap"],
)
def test_pseudo_inputs_are_encoded_once_in_a_graph(evaluate, graphs):
    prior = VampPrior(2, num_components=4)
    model = model_with(prior)
    moved(model.generative)
    encode, *rest = prior._posterior
    calls = []
    prior._posterior = lambda u: (calls.append(tf.compat.v1.get_default_graph().name), encode(u))[1], *rest
    before = evaluate(model)
    assert len(calls) == graphs
    # And in the body of no loop.
    assert not [name for name in calls if "while" in name]
    # And anew in each evaluation.
    prior.pseudo_inputs.assign(1.0 - prior.pseudo_inputs)
    after = evaluate(model)
    assert len(calls) == graphs
    assert np.all(before != after)


def test_where_learned_priors_start():
    z = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    flow = FlowPrior(2)
    flow.build((None, 2))
    np.testing.assert_allclose(flow.log_prob(z), StandardNormalPrior(2).log_prob(z), rtol=1e-6)
    mixture = MixturePrior(3, num_components=1000)
    mixture.build((None, 3))
    draws = mixture.sample(20_000, tf.constant([0, 1])).numpy()
    np.testing.assert_allclose(draws.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(draws.var(axis=0), 1.0, atol=0.1)


@pytest.mark.slow
def test_pseudo_inputs_start_as_examples_and_stay_in_the_support():
    model = model_with(LEARNED["vamp"]())
    model.initialize_pseudo_inputs(X, seed=2)
    pseudo = model.generative.prior.pseudo_inputs
    started = pseudo.numpy()
    assert all((row == X).all(axis=1).any() for row in started)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(X, batch_size=20, verbose=0)
    assert pseudo.numpy().min() >= 0.0
    assert pseudo.numpy().max() <= 1.0
    assert (pseudo.numpy() != started).any()
    with pytest.raises(ValueError, match=r"`examples`. Expected at least as many .*, 4. Received: 3"):
        model.initialize_pseudo_inputs(X[:3])
    with pytest.raises(ValueError, match=r"`model`. Expected one with the prior 'vamp'"):
        model_with("flow").initialize_pseudo_inputs(X)


NUMBERS = np.random.default_rng(3).normal(size=(40, PIXELS)).astype(np.float32)
# Whose posterior is narrow and far from all others.
FAR = np.array([6.0, 0.0, -6.0, 6.0, 0.0, 0.0], np.float32)


def model_of_numbers(unused=()):
    """A VampPrior's, where posteriors of numbers far away are far away, too."""
    model = model_with(VampPrior(2, num_components=5), likelihood="gaussian", activation="relu")
    model.initialize_pseudo_inputs(NUMBERS)
    pseudo_inputs = model.generative.prior.pseudo_inputs.numpy()
    pseudo_inputs[list(unused)] = FAR
    model.generative.prior.pseudo_inputs.assign(pseudo_inputs)
    return model, pseudo_inputs


def test_pseudo_inputs_that_nothing_needs_begin_anew_beside_others():
    model, before = model_of_numbers(unused=(1, 3))
    prior, z = model.generative.prior, model.posterior.distribution(NUMBERS).sample(20, seed=1)
    log_prob, lost = prior.log_prob(z).numpy(), model.posterior.distribution(FAR[np.newaxis]).loc.numpy()

    def far():
        return (np.abs(prior.sample(1000, tf.constant([1, 2])) - lost).max(axis=1) < 0.5).mean()

    assert far() == pytest.approx(0.4, abs=0.05)
    # A mask is no example, and one that is not whole is none either.
    some = np.concatenate([NUMBERS, np.full((30, PIXELS), np.nan, np.float32)])
    given = model_with(VampPrior(2, num_components=5), likelihood="gaussian", activation="relu", missing="nan")
    given.set_weights(model.get_weights())
    assert given.restart_unused_pseudo_inputs(some, seed=4) == 2
    assert model.restart_unused_pseudo_inputs(NUMBERS, seed=4) == 2
    after = prior.pseudo_inputs.numpy()
    np.testing.assert_array_equal(after[[0, 2, 4]], before[[0, 2, 4]])
    # Beside two others, and no example.
    apart = np.abs(after[[1, 3], np.newaxis] - after[[0, 2, 4]]).max(axis=2)
    assert sorted(apart.argmin(axis=1)) == sorted(set(apart.argmin(axis=1)))
    assert np.all((apart.min(axis=1) > 0.0) & (apart.min(axis=1) < 0.1))
    # Log p(z) falls nowhere that a latent is.
    gained = prior.log_prob(z).numpy() - log_prob
    assert gained.min() > -0.05
    assert gained.mean() > 0.3
    assert far() == 0.0
    # Again, and of a model that uses all, there is nothing to do.
    assert model.restart_unused_pseudo_inputs(NUMBERS, seed=5) == 0
    np.testing.assert_array_equal(prior.pseudo_inputs, after)


def test_pixels_that_begin_anew_stay_pixels(monkeypatch):
    monkeypatch.setattr("keras_iwae.priors.vamp._APART", 5.0)
    monkeypatch.setattr("keras_iwae.priors.vamp._UNUSED", 14.0)
    model = model_with(VampPrior(2, num_components=4))
    model.initialize_pseudo_inputs(X)
    before = model.generative.prior.pseudo_inputs.numpy()
    assert 0 < model.restart_unused_pseudo_inputs(X) < 4
    after = model.generative.prior.pseudo_inputs.numpy()
    assert (before != after).any()
    assert after.min() == 0.0
    assert after.max() == 1.0


def test_weights_that_are_not_finite_hold_nothing():
    model, _ = model_of_numbers()
    model.posterior.trainable_variables[0].assign(np.nan * model.posterior.trainable_variables[0])
    with pytest.raises(ValueError, match=r"`model`. Expected finite weights"):
        model.restart_unused_pseudo_inputs(NUMBERS)


def test_how_many_examples_a_pseudo_input_holds(monkeypatch):
    """Those restart, and those alone, that hold less than the threshold by TFP's densities."""
    model, before = model_of_numbers()
    of_examples = model.posterior.distribution(NUMBERS)
    z = of_examples.loc + of_examples.scale.diag * np.random.default_rng(6).standard_normal((40, 2), np.float32)
    of_inputs = model.posterior.distribution(before)
    each = tfd.MultivariateNormalDiag(of_inputs.loc, of_inputs.scale.diag).log_prob(z[:, tf.newaxis])
    held = tf.reduce_sum(tf.nn.softmax(each, axis=1), axis=0).numpy()
    threshold = np.sort(held)[1:3].mean()
    assert np.sort(held)[2] - np.sort(held)[1] > 0.1
    monkeypatch.setattr("keras_iwae.priors.vamp._UNUSED", threshold)
    monkeypatch.setattr("keras_iwae.priors.vamp._ROWS", 40)
    assert model.restart_unused_pseudo_inputs(NUMBERS, seed=6) == 2
    changed = (model.generative.prior.pseudo_inputs.numpy() != before).any(axis=1)
    np.testing.assert_array_equal(changed, held < threshold)


@pytest.mark.slow
def test_a_fit_restarts_them_before_each_epoch_but_the_first():
    model, before = model_of_numbers(unused=(2,))
    model.compile("adam")
    seen, pseudo_inputs = [], model.generative.prior.pseudo_inputs
    looks = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: seen.append(pseudo_inputs.numpy()))
    model.fit(NUMBERS, batch_size=20, epochs=2, verbose=0, callbacks=[RestartUnusedPseudoInputs(NUMBERS), looks])
    np.testing.assert_array_equal(seen[0], before)
    assert np.abs(seen[1][2] - FAR).max() > 2.0
    flow = model_with("flow")
    flow.compile("adam")
    for of, wrong in ((model, NUMBERS[:4]), (model, NUMBERS[:, :5]), (model, None), (model, np.array(3.0)), (flow, X)):
        with pytest.raises(ValueError, match=r"`examples`. Expected|`callbacks`. Expected no RestartUnusedPseudo"):
            of.fit(X, batch_size=20, epochs=1, verbose=0, callbacks=[RestartUnusedPseudoInputs(wrong)])


@pytest.mark.slow
def test_so_many_examples_as_suffice_are_kept_of_those_without_gaps(monkeypatch):
    monkeypatch.setattr("keras_iwae.training.callbacks._HELD", 10)
    model = model_with(VampPrior(2, num_components=3), likelihood="gaussian", missing="nan")
    some = np.full((500, PIXELS), np.nan, np.float32)
    some[::7] = np.random.default_rng(1).normal(size=(72, PIXELS))
    some[1::7, 2] = 0.0
    model.initialize_pseudo_inputs(some)
    model.compile("adam")
    restart = RestartUnusedPseudoInputs(some.tolist())
    model.fit(some[:20], epochs=2, verbose=0, callbacks=[restart])
    assert restart.examples.shape == (60, PIXELS)
    assert np.isfinite(restart.examples).all()
    assert len(np.unique(restart.examples, axis=0)) == 60
    # And again.
    model.fit(some[:20], epochs=2, verbose=0, callbacks=[restart])
    assert restart.examples.shape == (60, PIXELS)


@pytest.mark.slow
def test_averages_of_what_begins_anew_begin_anew():
    model, before = model_of_numbers(unused=(2,))
    model.compile(keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.999))
    averages, judged = AveragesAfterEpochs(), []
    looks = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: judged.append(model.generative.prior.pseudo_inputs.numpy())
    )
    callbacks = [averages, RestartUnusedPseudoInputs(NUMBERS), looks, averages.ends]
    model.fit(NUMBERS, batch_size=20, epochs=2, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(judged[0][2], before[2], atol=0.1)
    assert np.abs(judged[1][2] - FAR).max() > 2.0
    np.testing.assert_allclose(judged[1][[0, 1, 3, 4]], before[[0, 1, 3, 4]], atol=0.1)


@pytest.mark.slow
def test_frozen_ones_have_no_averages_to_begin_anew():
    model, before = model_of_numbers(unused=(2,))
    model.generative.prior.trainable = False
    model.compile(keras.optimizers.Adam(1e-3, use_ema=True))
    model.fit(NUMBERS, batch_size=20, verbose=0)
    assert model.restart_unused_pseudo_inputs(NUMBERS) == 1
    assert (model.generative.prior.pseudo_inputs.numpy() != before).any(axis=1).tolist() == [False, False, True] + 2 * [
        False
    ]


@pytest.mark.long
def test_a_run_that_is_stopped_restarts_the_same_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_iwae.priors.vamp._UNUSED", 14.0)
    config = ExperimentConfig.of(
        **dict(dataset="digits", hidden=((9,),), latent_dim=(2,), num_samples=3, batch_size=200, epochs=3),
        **dict(prior="vamp", prior_components=90),
    )
    restarted, restart = [], VampPrior.restart_unused
    monkeypatch.setattr(
        VampPrior, "restart_unused", lambda *given: (made := restart(*given), restarted.append(list(made)))[0]
    )
    weights = [load(train(config, tmp_path / "whole")).get_weights()]
    train(config.replaced(epochs=1), tmp_path / "stopped")
    weights.append(load(resume(tmp_path / "stopped", epochs=3)).get_weights())
    assert len(restarted) == 4
    assert 0 < len(restarted[0]) < 90
    assert restarted[:2] == restarted[2:]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_trains_saves_and_judges(model, tmp_path):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile("adam")
    before = [v.numpy() for v in copy.generative.prior.trainable_variables]
    copy.fit(X, batch_size=20, verbose=0)
    assert all((v.numpy() != b).any() for v, b in zip(copy.generative.prior.trainable_variables, before, strict=True))
    copy.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    given = X[:5], 3, tf.constant([0, 1])
    np.testing.assert_array_equal(copy.log_weights(*given), loaded.log_weights(*given))
    assert type(loaded.generative.prior) is type(copy.generative.prior)
    assert np.isfinite(importance_weighted_nll(loaded, X[:5], 20, verbose=False).nll)
    assert latents(loaded, X).kl_per_unit is None


@pytest.mark.slow
def test_draws_of_what_is_exported_are_those_of_the_model(model, tmp_path):
    served = tf.saved_model.load(export_saved_model(model, tmp_path / "served"))
    answer = served.signatures["sample_n"](num_samples=tf.constant(3), seed=tf.constant(7))
    np.testing.assert_allclose(answer["probabilities"], model.sample(3, seed=7).mean, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixture", "flow"])
def test_is_of_the_last_of_several_layers(name):
    model = model_with(name, latent_dim=(3, 2), hidden=((5,), (4,)))
    prior, lower = model.generative.prior, HierarchicalPrior((3, 2), ((4,),), seed=4)
    assert type(prior.top) is type(LEARNED[name]())
    assert prior.top.latent_dim == 2
    moved(prior.top)
    lower.build((None, 5))
    for own, other in zip(lower.networks[0].trainable_variables, prior.networks[0].trainable_variables, strict=True):
        own.assign(other)
    z = prior.sample(4, tf.constant([0, 1]))
    expected = lower.log_prob(z) - StandardNormalPrior(2).log_prob(z[:, 3:]) + prior.top.log_prob(z[:, 3:])
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-5)
    assert latents(model, X).kl_per_unit is None
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.generative.prior.log_prob(z), prior.log_prob(z))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "gaussian"}, "`prior`. Expected one of .'standard_normal', 'mixture', 'vamp', 'flow'"),
        (
            {"prior": MixturePrior(3)},
            "`prior`. Expected one of the posterior's 2 latent units. Received: MixturePrior of 3",
        ),
        ({"prior": "mixture", "posterior": "bernoulli", "estimator": "vimco"}, "`prior`. Expected none, which is fair"),
        ({"prior": BernoulliPrior(2)}, "`prior`. Expected a prior of latents that are no numbers of 0 and 1"),
        (
            {"prior": BernoulliPrior(1), "latent_dim": (2, 1), "hidden": ((5,), (4,))},
            "`prior`. Expected a prior of latents that are no numbers of 0 and 1",
        ),
        (
            {
                "prior": HierarchicalPrior((2, 1), ((4,),), top=BernoulliPrior(1)),
                "latent_dim": (2, 1),
                "hidden": ((5,), (4,)),
            },
            "`prior`. Expected a prior of latents that are no numbers of 0 and 1",
        ),
        *(
            (
                {"prior": HierarchicalPrior(dims, hidden), "latent_dim": (3, 2), "hidden": ((5,), (4,))},
                r"`prior`. Expected one of the posterior's layers, of \(3, 2\) units",
            )
            for dims, hidden in (((2, 3), ((4,),)), ((5,), ()))
        ),
        ({"prior": "vamp", "posterior": "planar"}, "`prior`. Expected another than 'vamp'.* PlanarPosterior"),
        (
            {"prior": "vamp", "posterior": "semi_amortized"},
            "`prior`. Expected another than 'vamp'.* SemiAmortizedPosterior",
        ),
        ({"prior": "vamp", "latent_dim": (2, 1), "hidden": ((5,), (4,))}, "`prior`. Expected another than 'vamp'"),
        ({"prior": VampPrior(1), "latent_dim": (2, 1), "hidden": ((5,), (4,))}, "`prior`. Expected another than 'v"),
        ({"prior": "mixture", "objective": "ae", "num_samples": 1}, "`prior`. Expected none that is learned"),
        ({"prior": "flow", "latent_dim": 1}, "`latent_dim`. Expected at least 2"),
    ],
    ids=lambda part: next(iter(part.items())) if isinstance(part, dict) else "",
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        IWAE(**{**SMALL, **settings})


def test_arguments_are_named():
    wrong = [(FlowPrior, {"hidden": 5}, "hidden"), (FlowPrior, {"activation": "tanhh"}, "activation")]
    wrong += [(kind, {"seed": seed}, "seed") for kind in (FlowPrior, MixturePrior, VampPrior) for seed in ("a", -1)]
    for kind, settings, name in wrong:
        with pytest.raises(ValueError, match=rf"`{name}`. Expected"):
            kind(2, **settings)
    for network, settings in ((gated_encoder, {"hidden": 5}), (dense_encoder, {"hidden": 5})):
        with pytest.raises(ValueError, match=r"`hidden`. Expected at least one layer"):
            network(**settings)
    with pytest.raises(ValueError, match=r"`seed`. Expected"):
        gated_encoder((5,), seed="a")


@pytest.mark.parametrize(("dims", "hidden"), [((2,), ()), ((3, 2), ((4,),))])
def test_what_is_made_of_the_posterior_is_no_part_of_a_prior(dims, hidden):
    """Its gradient would be left out, and the posterior is of all layers."""
    with pytest.raises(ValueError, match=r"`top`. Expected a prior that is not made of the posterior"):
        HierarchicalPrior(dims, hidden, top=VampPrior(2))


@pytest.mark.parametrize("kind", [MixturePrior, VampPrior])
def test_numbers_of_components(kind):
    with pytest.raises(ValueError, match=r"`num_components`. Expected"):
        kind(2, num_components=0)


class Doubled(StandardNormalPrior):
    def log_prob(self, z, training=False):
        return 2.0 * super().log_prob(z)


class Wide(StandardNormalPrior):
    def sample(self, num_samples, seed):
        return tf.zeros([num_samples, 3])


class Summed(StandardNormalPrior):
    def log_prob(self, z, training=False):
        return super().log_prob(z)[..., tf.newaxis]


class Mixing(StandardNormalPrior):
    def log_prob(self, z, training=False):
        found = super().log_prob(z)
        return found - tf.reduce_mean(found)


class Moved(MixturePrior):
    def sample(self, num_samples, seed):
        return super().sample(num_samples, seed) + 3.0


class Elsewhere(MixturePrior):
    @property
    def distribution(self):
        return tfd.MultivariateNormalDiag(100.0 + tf.zeros(2), tf.ones(2))


def test_the_plane_is_even_in_the_probability_of_each_unit(model):
    prior = model.generative.prior
    z, levels = prior.sample(40_000, tf.constant([3, 4])).numpy(), (np.arange(20) + 0.5) / 20
    normal = samples._ticks(StandardNormalPrior(2))
    np.testing.assert_allclose(normal, [tfd.Normal(0.0, 1.0).quantile(levels.astype(np.float32))] * 2, rtol=1e-6)
    # Two sets of draws, of 20,000 and 40,000.
    error = np.sqrt(levels * (1.0 - levels) * 1.5 / 20_000)
    below, wrong = ((z[:, :, np.newaxis] < ticks).mean(axis=0) - levels for ticks in (samples._ticks(prior), normal))
    assert (np.abs(below) < 5.0 * error).all()
    assert (np.abs(wrong) > 5.0 * error).any()
    assert set(samples._ticks(BernoulliPrior(2)).flat) == {0.0, 1.0}


class Laplace(Prior):
    @property
    def distribution(self):
        return tfd.Independent(tfd.Laplace(tf.zeros(self.latent_dim), 1.0), 1)


@keras.saving.register_keras_serializable("tests")
class WithATop(Laplace):
    """Of which it is no prior."""

    top = 3.0


class OfOneExample(Prior):
    """q(z|x) at x = 0, which the model says to it."""

    through_posterior = True

    def of_model(self, distribution, event_shape, support):
        self.told = lambda: distribution(tf.fill([1, *event_shape], support.low))

    @property
    def distribution(self):
        q = self.told()
        return tfd.MultivariateNormalDiag(q.mean()[0], q.stddev()[0])


class Forgetful(Prior):
    """Its draws are of a width that its density forgets, of which nothing is seen at the start."""

    def build(self, input_shape):
        self.log_scale = self.add_weight(shape=(2,), name="log_scale", initializer="zeros")
        super().build(input_shape)

    @property
    def distribution(self):
        return tfd.MultivariateNormalDiag(tf.zeros(2), tf.exp(self.log_scale))

    def log_prob(self, z, training=False):
        return tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2)).log_prob(z)


class Narrow(StandardNormalPrior):
    """Draws of the right mean."""

    def sample(self, num_samples, seed):
        return 0.8 * super().sample(num_samples, seed)


@pytest.mark.slow
def test_own_priors_are_held_to_their_draws():
    wrong = {Doubled: "`sample`, too.* Received: Doubled", Wide: r"gives \[N, 2\]", Summed: r"is finite, \[K, B\]"}
    wrong |= {Mixing: "of each latent by itself", Moved: "`log_prob`, too", Elsewhere: "`sample`, too"}
    wrong |= {Forgetful: "`sample`, too", Narrow: "`log_prob`, too"}
    for kind, message in wrong.items():
        with pytest.raises(ValueError, match=rf"`prior`. Expected a class .*{message}"):
            model_with(kind(2))
    with pytest.raises(ValueError, match=r"`prior`. Expected a class .*Received: Doubled"):
        model_with(Doubled(2), latent_dim=(3, 2), hidden=((5,), (4,)))
    assert np.isfinite(model_with(Laplace(2)).log_weights(X[:3], 2, tf.constant([0, 1]))).all()


def test_what_is_made_of_one_model_is_not_of_another():
    vamp = VampPrior(2, num_components=3)
    model_with(vamp)
    with pytest.raises(ValueError, match=r"`prior`. Expected a VampPrior of its own"):
        model_with(vamp)
    refined = SemiAmortizedPosterior(dense_encoder((4,)), 2, num_steps=1)
    IWAE(PIXELS, hidden=(4,), posterior=refined)
    with pytest.raises(ValueError, match=r"`posterior`. Expected a SemiAmortizedPosterior of its own"):
        IWAE(PIXELS, hidden=(4,), posterior=refined)


@pytest.mark.slow
def test_what_a_prior_of_ones_own_calls_its_top_is_its_own():
    for settings in ({}, {"objective": "ae", "num_samples": 1}):
        model = model_with(WithATop(2), **settings)
    assert drawn_by_batch(model, False, True)
    with pytest.raises(ValueError, match=r"Received: a WithATop"):
        pruned(model, [True, False])


@pytest.mark.slow
def test_a_prior_of_ones_own_is_told_the_posterior_that_it_is_made_of():
    model, z = model_with(OfOneExample(2)), tf.ones([1, 1, 2])
    np.testing.assert_allclose(model.generative.log_prior(z), model.posterior.log_prob(z, np.zeros_like(X[:1])))


@pytest.mark.slow
def test_what_was_refused_with_another_part_is_of_no_model():
    vamp, refined = VampPrior(2, num_components=3), SemiAmortizedPosterior(dense_encoder((4,)), 2, num_steps=1)
    for wrong in ({"prior": vamp, "estimator": "vimco?"}, {"posterior": refined, "estimator": "dreg"}):
        with pytest.raises(ValueError, match="`estimator`"):
            IWAE(PIXELS, 2 if "prior" in wrong else None, hidden=(4,), **wrong)
    with pytest.raises(ValueError, match=r"`posterior`. Expected one without a density"):
        AVB(PIXELS, hidden=(4,), posterior=refined)
    others = VampPrior(2, num_components=3), SemiAmortizedPosterior(dense_encoder((4,)), 2, num_steps=1)
    given = tf.constant(X[:3]), 2, tf.constant([0, 1])
    # What they are made of is the model that has them, and none of those that were refused.
    found, expected = (model_with(prior).log_weights(*given) for prior in (vamp, others[0]))
    np.testing.assert_array_equal(found, expected)
    models = [IWAE(PIXELS, hidden=(4,), posterior=posterior) for posterior in (refined, others[1])]
    for each in models:
        moved(each.generative, 0.1)
    np.testing.assert_array_equal(*(each.log_weights(*given) for each in models))


def test_pseudo_inputs_are_seen_as_at_evaluation():
    encoder = keras.Sequential([keras.layers.Dense(5), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)])
    prior = model_with(LEARNED["vamp"](), encoder=encoder, backward_samples=2).generative.prior
    z, kept = tf.ones([1, 1, 2]), [variable.numpy() for variable in encoder.variables]
    np.testing.assert_array_equal(prior.log_prob(z, training=True), prior.log_prob(z))
    assert all((was == now.numpy()).all() for was, now in zip(kept, encoder.variables, strict=True))
