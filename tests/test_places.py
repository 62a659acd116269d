"""An image's draws are those of the seed and of its place among all, in any batch, shard or start."""

import functools
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_iwae
from keras_iwae.evaluation import NLLResult, annealed_nll, bidirectional_gap, importance, importance_weighted_nll
from keras_iwae.evaluation.annealing import Annealed, Annealer
from keras_iwae.evaluation.hamiltonian import hamiltonian_step
from keras_iwae.evaluation.places import LANES, in_lanes, up_to_lanes
from keras_iwae.foundation import Places, having_rows, normal_of_rows, uniform_of_rows
from keras_iwae.models import IWAE
from keras_iwae.networks import dense_encoder
from keras_iwae.posteriors import BernoulliPosterior, GaussianPosterior
from keras_iwae.priors import BernoulliPrior, StandardNormalPrior

KEY = tf.constant([3, 4])
FAMILIES = ("gaussian", "full_covariance", "planar", "radial", "maf", "iaf", "mixture", "auxiliary", "semi_amortized")
PRIORS = ("standard_normal", "mixture", "vamp", "flow")


@pytest.fixture(scope="module")
def x():
    """Twenty-one binary vectors."""
    return (np.random.default_rng(0).random((21, 16)) < 0.4).astype(np.float32)


def small(**settings) -> IWAE:
    return IWAE((16,), **{"hidden": (8,), "latent_dim": 3, "seed": 3, **settings})


def two_layers() -> IWAE:
    return small(latent_dim=(3, 2), hidden=((8,), (8,)))


def coins() -> IWAE:
    encoder = dense_encoder((8,))
    return small(posterior=BernoulliPosterior(encoder, 3), prior=BernoulliPrior(3), estimator="vimco")


def weighed(model, x, batch_size, **settings) -> np.ndarray:
    result = importance_weighted_nll(model, x, 60, batch_size=batch_size, verbose=False, **settings)
    return result.log_likelihood_per_example


@pytest.mark.parametrize(("axis", "dtype"), [(0, tf.float32), (1, tf.float32), (2, tf.float32), (1, tf.float64)])
def test_rows_have_the_noise_of_their_places(axis, dtype):
    """Of any size: that of a row here is no multiple of what the generator gives at a time."""

    def drawn(first, count):
        shape = [5, 3]
        shape.insert(axis, count)
        with having_rows(Places(tf.constant(first))):
            noise = normal_of_rows(KEY, shape, axis, dtype)
        assert (noise.shape, noise.dtype) == (shape, dtype)
        return np.moveaxis(noise.numpy(), axis, 0)

    whole = drawn(0, 40)
    for first, count in ((0, 1), (7, 13), (39, 1), (20, 20)):
        np.testing.assert_array_equal(drawn(first, count), whole[first : first + count])
    # No number comes twice, within a row or between them.
    assert len(np.unique(whole)) == whole.size


def test_noise_by_places_is_of_its_law():
    with having_rows(Places(tf.constant(1000))):
        normal = normal_of_rows(KEY, [7, 3000, 5], axis=1).numpy()
        uniform = uniform_of_rows(KEY, [7, 3000, 5], axis=1).numpy()
    count = normal.size
    assert abs(normal.mean()) < 4.0 / np.sqrt(count)
    assert abs((normal**2).mean() - 1.0) < 4.0 * np.sqrt(2.0 / count)
    assert abs(uniform.mean() - 0.5) < 4.0 / np.sqrt(12.0 * count)
    assert 0.0 <= uniform.min() < 0.001 < 0.999 < uniform.max() < 1.0
    for noise in (normal, uniform - 0.5):
        neighbours = (noise[:, 1:] * noise[:, :-1]) / noise.var()
        assert abs(neighbours.mean()) < 4.0 / np.sqrt(count)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_has_its_draws_in_any_batch(family, x):
    model = small(posterior=family)
    whole = weighed(model, x, 21)
    for batch_size in (10, 4):
        np.testing.assert_allclose(weighed(model, x, batch_size), whole, rtol=1e-5)
    np.testing.assert_allclose(weighed(model, x[:5], 21), whole[:5], rtol=1e-5)
    np.testing.assert_allclose(weighed(model, x[13:], 4, first=13), whole[13:], rtol=1e-5)
    # Controls: another seed, and other places.
    assert np.abs(weighed(model, x, 21, seed=1) - whole).max() > 1e-3
    assert np.abs(weighed(model, x[13:], 4) - whole[13:]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian", "full_covariance", "mixture", "two layers"])
def test_so_it_is_with_draws_of_a_wider_proposal(family, x):
    model = two_layers() if family == "two layers" else small(posterior=family)
    whole = weighed(model, x, 21, proposal_scale=1.3)
    np.testing.assert_allclose(weighed(model, x, 4, proposal_scale=1.3), whole, rtol=1e-5)
    np.testing.assert_allclose(weighed(model, x[7:], 3, proposal_scale=1.3, first=7), whole[7:], rtol=1e-5)
    assert np.abs(weighed(model, x, 21) - whole).max() > 1e-3


def test_a_place_is_a_number_of_int32(x):
    with pytest.raises(ValueError, match="`first`"):
        weighed(small(), x, 21, first=2**31 - 10)


@pytest.mark.slow
@pytest.mark.parametrize("make", [two_layers, coins])
def test_so_it_is_with_layers_and_with_discrete_latents(make, x):
    model = make()
    np.testing.assert_allclose(weighed(model, x, 4), weighed(model, x, 21), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("prior", PRIORS)
def test_draws_of_a_prior_are_each_images_own(prior, x):
    model = small(prior=prior)
    whole = weighed(model, x, 21, defensive=0.4)
    np.testing.assert_allclose(weighed(model, x, 4, defensive=0.4), whole, rtol=1e-5)
    np.testing.assert_allclose(weighed(model, x[9:], 5, defensive=0.4, first=9), whole[9:], rtol=1e-5)


@pytest.mark.slow
def test_so_it_is_with_coins_and_with_a_prior_of_two_layers(x):
    for model in (coins(), two_layers()):
        whole = weighed(model, x, 21, defensive=0.4)
        np.testing.assert_allclose(weighed(model, x, 4, defensive=0.4), whole, rtol=1e-5)


@pytest.mark.slow
def test_shards_that_begin_anywhere_are_joined(x):
    model = small()
    whole = importance_weighted_nll(model, x, 60, verbose=False)
    shards = [
        importance_weighted_nll(model, x[a:b], 60, first=a, batch_size=size, verbose=False)
        for a, b, size in ((0, 5, 2), (5, 6, 7), (6, 21, 4))
    ]
    np.testing.assert_allclose(
        NLLResult.join(shards).log_likelihood_per_example, whole.log_likelihood_per_example, rtol=1e-5
    )


def annealed(model, x, batch_size, initial) -> np.ndarray:
    result = annealed_nll(model, x, 4, 30, 3, initial=initial, batch_size=batch_size, verbose=False)
    return result.log_likelihood_per_example


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "initial"),
    [
        (functools.partial(small, posterior="full_covariance"), "posterior"),
        (two_layers, "prior"),
        (functools.partial(small, prior="vamp"), "prior"),
        (functools.partial(small, prior="flow"), "prior"),
    ],
)
def test_an_image_has_its_chains_in_any_batch(make, initial, x):
    model = make()
    whole = annealed(model, x, 21, initial)
    np.testing.assert_array_equal(annealed(model, x, 4, initial), whole)
    np.testing.assert_array_equal(annealed(model, x[:5], 21, initial), whole[:5])
    # The control: another place.
    assert np.abs(annealed(model, x[1:], 21, initial) - whole[1:]).max() > 1e-3


@pytest.mark.parametrize("size", [21, 5])
def test_products_of_chains_are_all_of_one_size(size, x, monkeypatch):
    """Some processors round those of 16 images in another way than those of 32, where the products are large."""
    sizes = set()

    def anneal(self, x, num_chains, step_sizes, seed, advance, first):
        sizes.add(len(x))
        advance(1.0)
        return Annealed(np.tile(first + np.arange(len(x)), (num_chains, 1)), np.ones(len(x)))

    monkeypatch.setattr(Annealer, "forward", anneal)
    monkeypatch.setattr(Annealer, "step_sizes", lambda self, x, *_: sizes.add(len(x)))
    found = annealed_nll(small(), x, 4, 5, 2, batch_size=size, verbose=False)
    assert sizes == {LANES}
    np.testing.assert_allclose(found.log_likelihood_per_example, np.arange(21), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [21, 5])
def test_products_of_fits_are_all_of_one_size(size, x, monkeypatch):
    sizes = set()

    def seen_by(of_images, **options):
        def spied(images, *rest):
            sizes.add(len(images))
            return of_images(images, *rest)

        return in_lanes(spied, **options)

    monkeypatch.setattr(importance, "in_lanes", seen_by)
    weighed(small(), x, size, proposal="refined")
    assert sizes == {LANES}


def side_by_side(of_images, count=100):
    """What three threads find of so many images, and the shares of the work that they tell of."""
    shares = []
    compute = in_lanes(of_images, at_once=3)
    return compute(tf.range(count), 1000, shares.append), shares


def test_what_is_worked_on_side_by_side_stays_in_its_order():
    threads = set()

    def of_images(x, places, advance):
        threads.add(threading.get_ident())
        # Those that come first are ready last.
        time.sleep(0.02 if x[0] < 64 else 0.0)
        advance(1.0)
        return x.numpy(), places

    (images, places), shares = side_by_side(of_images)
    np.testing.assert_array_equal(images, np.arange(100))
    np.testing.assert_array_equal(places, 1000 + np.arange(100))
    assert sum(shares) == pytest.approx(1.0)
    # That of the first, which makes the graph, and the others.
    assert len(threads) == 4


def test_what_fails_beside_others_is_not_waited_for():
    begun = []

    def of_images(x, places, advance):
        begun.append(int(x[0]))
        if len(begun) == 2:
            raise KeyboardInterrupt
        time.sleep(0.05)
        return (x.numpy(),)

    with pytest.raises(KeyboardInterrupt):
        side_by_side(of_images, 16 * 60)
    assert len(begun) < 30


@pytest.mark.long
def test_a_fitted_proposal_of_a_large_model_is_the_same_in_any_batch():
    """Of noise, some of which is far from anything that the model knows."""
    model, noise = keras_iwae.load("mnist-iwae-k50"), np.random.default_rng(0).random((40, 28, 28, 1)) < 0.3
    whole, fives = (
        importance_weighted_nll(
            model, noise.astype(np.float32), 50, (), proposal="adapted", batch_size=size, verbose=False
        )
        for size in (40, 5)
    )
    np.testing.assert_array_equal(whole.log_likelihood_per_example, fives.log_likelihood_per_example)


@pytest.mark.slow
def test_rounding_grows_along_a_chain(x):
    """Why whole lanes are computed: what is beyond them is rounded in another way by some processors."""
    annealer = Annealer(small(), "posterior", 3, 0.1)
    sizes = np.full([150, len(x)], 0.9, np.float32)
    one, other = (annealer.forward(x, 8, size, KEY).log_weights for size in (sizes, sizes * np.float32(1.0 + 2e-7)))
    # A hundred times and more what one difference in rounding is.
    assert np.abs(one - other).max() > 1e-4


def test_all_lanes_are_filled_with_the_last_row():
    assert [len(up_to_lanes(count)) for count in (1, 15, 16, 17, 32)] == [16, 16, 16, 32, 32]
    np.testing.assert_array_equal(up_to_lanes(3), [0, 1, *14 * [2]])


@pytest.mark.slow
def test_chains_of_both_directions_are_each_images_own():
    model = small()
    one, other = (bidirectional_gap(model, 20, 50, 4, 20, 3, batch_size=size, verbose=False) for size in (20, 3))
    np.testing.assert_array_equal(one.lower_per_example, other.lower_per_example)
    np.testing.assert_array_equal(one.upper_per_example, other.upper_per_example)


class OwnPosterior(GaussianPosterior):
    """Draws by TFP's own class, which knows no places."""

    def distribution(self, x, training=False):
        q = super().distribution(x, training)
        return tfp.distributions.MultivariateNormalDiag(q.mean(), q.stddev())


class OwnPrior(StandardNormalPrior):
    def sample(self, num_samples, seed):
        return tf.random.stateless_normal([num_samples, self.latent_dim], seed)


@pytest.mark.long
@pytest.mark.parametrize("own", ["posterior", "prior", "top"])
def test_draws_of_ones_own_class_are_those_of_the_batch(own, x):
    settings = {}
    if own == "posterior":
        model = small(posterior=OwnPosterior(dense_encoder((8,)), 3))
    else:
        settings = {"defensive": 0.4}
        prior = OwnPrior(3) if own == "prior" else OwnPrior(2)
        model = small(prior=prior) if own == "prior" else small(latent_dim=(3, 2), hidden=((8,), (8,)), prior=prior)
    same = np.repeat(x[:1], 8, axis=0)
    found = weighed(model, same, 4, **settings)
    # Two batches have not the same noise, and a shard of the whole begins where a batch does.
    assert np.abs(found[:4] - found[4:]).min() > 1e-4
    np.testing.assert_allclose(weighed(model, same[4:], 4, first=4, **settings), found[4:], rtol=1e-5)
    with pytest.raises(ValueError, match=r"`first`\. Expected a multiple of 4"):
        weighed(model, same[3:], 4, first=3, **settings)
    chains = annealed(model, same, 4, "posterior" if own == "posterior" else "prior")
    assert np.abs(chains[:4] - chains[4:]).min() > 1e-4


def test_a_users_prior_of_coins_keeps_its_law():
    class Biased(BernoulliPrior):
        @property
        def distribution(self):
            return tfp.distributions.Independent(
                tfp.distributions.Bernoulli(probs=tf.fill([self.latent_dim], 0.9), dtype=tf.float32), 1
            )

    assert float(tf.reduce_mean(Biased(5).sample(2000, KEY))) == pytest.approx(0.9, abs=0.02)


def _moved(z: tf.Tensor, step_size: float, times: int) -> tuple[tf.Tensor, np.ndarray]:
    scale = tf.constant([0.5, 2.0])

    def log_density(z):
        return -0.5 * tf.reduce_sum(tf.square((z - 1.0) / scale), axis=-1)

    rates = []
    for number in range(times):
        z, probability = hamiltonian_step(
            log_density, z, tf.fill([z.shape[1]], step_size), 3, tf.random.fold_in(KEY, number)
        )
        rates.append(probability.numpy())
    return z, np.array(rates)


@pytest.mark.statistical
@pytest.mark.parametrize("step_size", [0.3, 0.8])
def test_a_step_keeps_the_law_and_comes_to_it(step_size):
    """With steps so long that many are refused, too: taken all, they would leave the law."""
    z, rates = _moved(tf.zeros([4000, 3, 2]), step_size, 60)
    drawn = z.numpy().reshape(-1, 2)
    count = len(drawn)
    for unit, scale in enumerate((0.5, 2.0)):
        assert abs(drawn[:, unit].mean() - 1.0) < 4.5 * scale / np.sqrt(count)
        assert abs(drawn[:, unit].var() - scale**2) < 4.5 * scale**2 * np.sqrt(2.0 / count)
    assert (rates.mean() > 0.9) == (step_size == 0.3)


@pytest.mark.statistical
def test_a_step_is_accepted_as_often_as_tfps():
    def log_density(z):
        return -0.5 * tf.reduce_sum(tf.square(z / tf.constant([0.5, 2.0])), axis=-1)

    z = tf.random.stateless_normal([20000, 1, 2], KEY) * [0.5, 2.0]
    _, ours = hamiltonian_step(log_density, z, tf.constant([0.7]), 4, KEY)
    kernel = tfp.mcmc.HamiltonianMonteCarlo(log_density, 0.7, 4)
    _, results = kernel.one_step(z, kernel.bootstrap_results(z), seed=KEY)
    theirs = np.exp(np.minimum(results.log_accept_ratio.numpy(), 0.0))
    error = np.sqrt((np.var(ours) + np.var(theirs)) / len(z))
    assert abs(np.mean(ours) - np.mean(theirs)) < 4.0 * error


def test_a_step_follows_the_slope_of_a_density_that_remembers_its_draws():
    """TFP's bijectors keep what a tensor came of, and the way from there has no slope in z."""
    q = tfp.distributions.MultivariateNormalDiag([0.5, -0.3], [0.5, 2.0])
    z = q.sample([50, 1], seed=KEY)
    q.log_prob(z)

    def formula(z):
        return -0.5 * tf.reduce_sum(tf.square((z - q.loc) / [0.5, 2.0]), axis=-1)

    ours, expected = (hamiltonian_step(density, z, tf.constant([0.4]), 3, KEY)[0] for density in (q.log_prob, formula))
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_step_out_of_all_bounds_is_not_taken():
    z = tf.ones([3, 2, 2])
    end, probability = hamiltonian_step(
        lambda z: tf.reduce_sum(tf.math.log(z), axis=-1), z, tf.constant([1e3, 1e-3]), 3, KEY
    )
    np.testing.assert_array_equal(end[:, 0], z[:, 0])
    np.testing.assert_array_equal(probability[:, 0], 0.0)
    assert np.all(probability[:, 1] > 0.99)
    assert np.all(end[:, 1] != z[:, 1])
