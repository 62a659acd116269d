# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. The weights: ESS, k-hat, and why K = 5000 may not do
#
# An importance-sampled log-likelihood comes with an error bar. This lesson shows when that
# lies, on a posterior whose $\log p(x)$ is known to be 0, and then on a model. Two numbers
# say how good K weights are:
#
# - the effective sample size, $\mathrm{ESS} = (\sum_k w_k)^2 / \sum_k w_k^2$, from 1 to K;
# - Pareto k-hat, how heavy the tail of the weights is. A tail of index k has no moments of
#   order $1 / k$ and more. From 0.5 on there is no variance, from 0.7 on no K that one can
#   afford will do.

# %%
import textwrap

import numpy as np

import keras_iwae

rng = np.random.default_rng(0)


def log_weights(num_samples, dims, scale):
    """log w of draws of q = N(0, scale^2 I) for the posterior N(0, I): log p(x) is 0."""
    z = scale * rng.standard_normal((num_samples, dims))
    return np.sum(-(z**2) / 2 + (z / scale) ** 2 / 2 + np.log(scale), axis=-1)


def estimate(log_w):
    """The log of the mean weight, its standard error by the delta method, and the ESS."""
    w = np.exp(log_w - log_w.max())
    ess = w.sum() ** 2 / (w**2).sum()
    return log_w.max() + np.log(w.mean()), np.sqrt(1 / ess - 1 / len(w)), ess


# %% [markdown]
# ## Where the answer is known
#
# q is a Gaussian of the right place and the wrong width: 0.7 or 1.3 times the posterior's, in
# 2 and in 50 dimensions, with K = 5000.
#
# *Expect* all to be well in 2 dimensions. In 50, the wide q costs draws, but its estimate is
# right within its error bar. The narrow one hardly ever draws where the largest weights are:
# nearly all of its estimates are too low, and most of them by more than their error bars say.

# %%
found = {}
for dims in (2, 50):
    for scale in (0.7, 1.3):
        repeated = [estimate(log_weights(5000, dims, scale)) for _ in range(100)]
        bound, error, ess = np.array(repeated).T
        found[dims, scale] = bound.mean(), np.mean(bound < 0), np.median(error), np.median(ess)
        print(
            f"{dims:2} dimensions, {scale} as wide: L_5000 {bound.mean():+.3f}, "
            f"error bar {np.median(error):.3f}, ESS {np.median(ess):6.0f}, "
            f"too low in {np.mean(bound < 0):.0%} of 100 trials"
        )

assert abs(found[2, 0.7][0]) < 0.01
assert abs(found[2, 1.3][0]) < 0.01
assert abs(found[50, 1.3][0]) < 0.05
assert found[50, 0.7][0] < -1.5 * found[50, 0.7][2]
assert found[50, 0.7][1] > 0.8

# %% [markdown]
# The rule is old: a proposal should be wider than its target. Where q has s < 1 times the
# width, the weights have a tail of index $k = 1 - s^2$, in each dimension; with s = 0.7 that
# is 0.51, no variance. Training by the ELBO makes q narrow, for it is punished for every draw
# that misses and for none that it leaves out.
#
# ## On a model
#
# The same happens to a model whose encoder is too narrow. We take a good one and narrow it by
# hand, with `proposal_scale`: what is estimated stays the same, $\log p(x)$ of the same model
# for the same digits.
#
# *Expect* an NLL that is too high by many of its Monte Carlo errors, where the scale is 0.6;
# a k-hat above 0.7 for most of the digits, which tells; and a verdict that says so. A scale
# of 1.2 costs a third of the effective samples, and no NLL.

# %%
train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))
model = keras_iwae.IWAE((8, 8, 1), latent_dim=10, hidden=(100,), num_samples=20)
model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
model.compile(keras_iwae.training.FusedAdam(4e-3), steps_per_execution=60)
model.fit(train.repeat(20), epochs=3, verbose=0)

results = {}
for scale in (1.0, 0.6, 1.2):
    results[scale] = keras_iwae.importance_weighted_nll(
        model, test, 2000, proposal_scale=scale, verbose=False
    )
for scale, result in results.items():
    share = np.mean(result.pareto_k_per_example > 0.7)
    print(
        f"scale {scale}: NLL {result.nll:.3f}, "
        f"Monte Carlo error {result.monte_carlo_error:.3f}, "
        f"median ESS {np.median(result.ess_per_example):.0f}, k-hat above 0.7 for {share:.0%}"
    )
print()
print(textwrap.fill(results[0.6].verdict, 90))

lost = results[0.6].nll - results[1.0].nll
assert lost > 5 * results[0.6].monte_carlo_error
assert np.mean(results[0.6].pareto_k_per_example > 0.7) > 0.5
assert "does not suffice" in results[0.6].verdict
assert abs(results[1.2].nll - results[1.0].nll) < 0.02
kept = np.median(results[1.2].ess_per_example) / np.median(results[1.0].ess_per_example)
assert 0.55 < kept < 0.8

# %% [markdown]
# The error bar is computed from the weights that were drawn. What was not drawn is in no
# error bar, and so a small one is no sign of anything where k-hat is large.
#
# ## A proposal for each picture
#
# More draws are the slow remedy. The better one is a better q: `proposal="adapted"` climbs to
# the modes of $p(z|x)$ of each picture, looks at the curvature there, improves it by a few
# rounds of draws, and then weighs fresh draws of a mixture with long tails. Its K may be
# smaller.
#
# *Expect* with 500 draws a log-likelihood no worse than the encoder's with 2000, and light
# tails: hardly a k-hat above 0.7.

# %%
fitted = keras_iwae.importance_weighted_nll(model, test, 500, proposal="adapted", verbose=False)
print(fitted)

assert fitted.nll < results[1.0].nll + 3 * results[1.0].monte_carlo_error
assert np.mean(fitted.pareto_k_per_example > 0.7) < 0.01
assert "K = 500 suffices" in fitted.verdict

# %% [markdown]
# ## Exercises
#
# **1.** In the 50 dimensions above, what do four times as many draws do for the narrow q?

# %% [markdown] tags=["answer"]
# With finite variance the bias would fall like 1 / K, to a quarter. Here four times the draws
# leave half of it and more. Nobody can afford the draws that a bias of 0.01 nats would take,
# and that for each picture.

# %% tags=["answer"]
more = np.mean([estimate(log_weights(20000, 50, 0.7))[0] for _ in range(100)])
print(f"L_5000 {found[50, 0.7][0]:+.3f}, L_20000 {more:+.3f} nats")
assert found[50, 0.7][0] < more < 0.5 * found[50, 0.7][0]

# %% [markdown]
# **2.** Which scale is best for this model? Try some between 0.8 and 1.4, and judge by the
# median ESS.

# %% [markdown] tags=["answer"]
# One near 1: an encoder that was trained by $L_{20}$ is about as wide as it should be.

# %% tags=["answer"]
sizes = {}
for scale in (0.8, 0.9, 1.0, 1.1, 1.2, 1.4):
    each = keras_iwae.importance_weighted_nll(
        model, test, 500, proposal_scale=scale, verbose=False
    )
    sizes[scale] = np.median(each.ess_per_example)
print({scale: f"{ess:.0f} of 500" for scale, ess in sizes.items()})
assert max(sizes, key=sizes.get) in (0.9, 1.0, 1.1)
