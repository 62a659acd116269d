# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. From autoencoder to VAE to IWAE
#
# Three models of the same parts, an encoder, ten latent units and a decoder, which differ in
# what they climb. All of it runs on the digits of 8 x 8 pixels that come with scikit-learn,
# in seconds.
#
# A picture x is made of a code z: $p(x) = \int p(x|z) p(z) dz$ with $p(z) = N(0, I)$, and a
# decoder that gives each pixel's probability of being white. The encoder gives a mean and a
# standard deviation of each unit of z, $q(z|x)$.
#
# `FusedAdam` is Keras' Adam in fewer operations, and `steps_per_execution` takes as many
# steps at a call: both save time and change nothing else.

# %%
import matplotlib.pyplot as plt
import numpy as np

import keras_iwae

train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))


def trained(objective, num_samples=None, passes=60):
    """A model after so many passes over the training digits, with pixels drawn anew in each."""
    model = keras_iwae.IWAE(
        (8, 8, 1), latent_dim=10, hidden=(100,), objective=objective, num_samples=num_samples
    )
    model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
    model.compile(keras_iwae.training.FusedAdam(4e-3), steps_per_execution=60)
    # 20 passes are an epoch of Keras here, for which it does little but count.
    model.fit(train.repeat(20), epochs=passes // 20, verbose=0)
    return model


models = {"autoencoder": trained("ae"), "VAE": trained("elbo", 1), "IWAE": trained("iwae", 20)}

# %% [markdown]
# ## The autoencoder
#
# It climbs the reconstruction alone: $\log p(x | z)$ at the code z that the encoder gives.
# Nothing says where codes may lie.
#
# *Expect* the best reconstructions of all three, and codes that are further from 0 than those
# of $N(0, I)$, for what is far apart is easily told apart.
#
# ## The VAE
#
# The variational autoencoder climbs a lower bound of the log-likelihood of the picture, the
# evidence lower bound (ELBO). KL, the Kullback-Leibler divergence, says how far one
# distribution is from another; both are in nats, the unit of natural logarithms.
#
# $\mathrm{ELBO} = E_q[\log p(x|z)] - \mathrm{KL}(q(z|x), p(z)) \le \log p(x)$,
#
# which pays for codes that $p(z)$ would not have drawn.
#
# *Expect* worse reconstructions than the autoencoder's, and codes where $p(z)$ has them: a
# little nearer to 0, as they are the middle of what q draws.
#
# ## The IWAE
#
# It draws K codes, 20 here, and climbs the log of the mean of their weights, $w_k = p(x, z_k)
# / q(z_k|x)$:
#
# $L_K = E[\log \frac{1}{K} \sum_k w_k]$, with $\mathrm{ELBO} = L_1 \le L_K \le \log p(x)$.
#
# A draw that misses is outvoted by others that do not, and so q may be wider than the ELBO
# allows it.
#
# *Expect* reconstructions between the two, and codes where $p(z)$ has them, too.

# %%
reconstructed = {name: model.predict(test, verbose=0) for name, model in models.items()}
errors, lengths = {}, {}
for name, model in models.items():
    errors[name] = ((reconstructed[name] - test) ** 2).sum(axis=(1, 2, 3)).mean()
    lengths[name] = np.linalg.norm(model.posterior.mean(test), axis=1).mean()
    print(
        f"{name:12} squared error of a picture {errors[name]:.2f}   "
        f"length of a code {lengths[name]:.1f}"
    )
print(f"{'N(0, I)':12} {'':34}length of a draw {np.sqrt(10):.1f}")

assert errors["autoencoder"] < errors["IWAE"] < errors["VAE"]
assert lengths["autoencoder"] > 1.4 * np.sqrt(10)
assert max(lengths["VAE"], lengths["IWAE"]) < np.sqrt(10)

# %% Ten test digits above their reconstructions by the three models
rows = [test[:10], *(pictures[:10] for pictures in reconstructed.values())]
plt.figure(figsize=(7, 3))
plt.imshow(keras_iwae.plots.image_grid(np.concatenate(rows), columns=10), cmap="gray")
plt.yticks([4, 13, 22, 31], ["test digits", *models])
plt.xticks([])
plt.show()

# %% [markdown]
# ## Pictures that nobody gave
#
# A generative model makes pictures of its own: draw z from $p(z)$ and decode it.
#
# *Expect* digits of the VAE and the IWAE. The autoencoder was never asked to make anything of
# these codes: they lie in the middle of its own, between digits, and what comes out is often
# none.

# %% Pictures that each model decodes from draws of the prior
drawn = {name: model.sample(64, seed=1).mean for name, model in models.items()}
keras_iwae.plots.charts.sample_grids(drawn)

# %% [markdown]
# ## Which is the better model?
#
# Looking at pictures decides nothing. The number that does is $\log p(x)$ of pictures that it
# was not trained on; here with the sign turned, the negative log-likelihood (NLL) in nats, of
# which less is better. It is an integral over z, and estimated by importance sampling with
# many more draws than in training. Draws are from what the encoder gives ("amortized"); for
# the autoencoder, whose encoder has no meaningful width, they are from a proposal that is
# fitted to each picture (lesson 4).
#
# *Expect* the autoencoder to be several nats worse, as its codes are no draws of $p(z)$; and
# the IWAE better than the VAE, by some tenths of a nat.

# %%
proposals = {"autoencoder": "adapted", "VAE": "amortized", "IWAE": "amortized"}
nll = {}
for name, model in models.items():
    result = keras_iwae.importance_weighted_nll(
        model, test, 500, proposal=proposals[name], verbose=False
    )
    nll[name] = result.nll
    print(f"{name:13} NLL {nll[name]:.2f} nats")

assert nll["autoencoder"] > nll["VAE"] + 2.0
assert 0.15 < nll["VAE"] - nll["IWAE"] < 0.9

# %% [markdown]
# And yet the ELBO of the IWAE is the worse of the two. *Expect* so: its encoder was never
# asked for a good ELBO, but for draws some of which are good. Bounds of different models say
# nothing about which of them is better, log-likelihoods do.

# %%
elbo = {
    name: models[name].evaluate(test, verbose=0, return_dict=True)["elbo"]
    for name in ("VAE", "IWAE")
}
for name, value in elbo.items():
    print(
        f"{name:4}  ELBO {value:.2f}   log p(x) {-nll[name]:.2f}   "
        f"gap {-nll[name] - value:.2f} nats"
    )

assert elbo["IWAE"] < elbo["VAE"]
assert nll["IWAE"] < nll["VAE"]

# %% [markdown]
# ## Exercises
#
# **1.** The autoencoder's codes are not of $N(0, I)$. Draw them from a Gaussian that has
# their mean and covariance instead. Are pictures nearer to real digits then? Measure the
# squared distance of each to the nearest training digit.

# %% [markdown] tags=["answer"]
# They are, and this is what a learned prior is about (lesson 7): the decoder is fine, where
# its codes are. It is a repair after the fact, and has no bound that says how good it is.

# %% tags=["answer"]
digits = np.concatenate(list(train))


def distance(pictures):
    return (
        ((np.asarray(pictures)[:, None] - digits) ** 2).sum(axis=(2, 3, 4)).min(axis=1).mean()
    )


autoencoder = models["autoencoder"]
codes = autoencoder.posterior.mean(test).numpy()
own = (
    np.random.default_rng(0)
    .multivariate_normal(codes.mean(axis=0), np.cov(codes.T), 300)
    .astype(np.float32)
)
found = {
    "drawn of N(0, I)": distance(autoencoder.sample(300, seed=1).mean),
    "drawn of their own Gaussian": distance(autoencoder.generative.mean(own)),
}
print({source: f"{value:.2f}" for source, value in found.items()})
assert found["drawn of their own Gaussian"] < found["drawn of N(0, I)"]

# %% [markdown]
# **2.** Where does an IWAE with K = 5 come out: in NLL, and in its ELBO?

# %% [markdown] tags=["answer"]
# In NLL between the VAE and K = 20. Its ELBO is better than that of K = 20, for five draws
# outvote less than twenty: q has to be nearer to what the ELBO wants.

# %% tags=["answer"]
five = trained("iwae", 5)
nll_of_five = keras_iwae.importance_weighted_nll(five, test, 500, verbose=False).nll
elbo_of_five = five.evaluate(test, verbose=0, return_dict=True)["elbo"]
print(f"K = 5: NLL {nll_of_five:.2f}, ELBO {elbo_of_five:.2f} nats")
assert nll["IWAE"] < nll_of_five < nll["VAE"]
assert elbo_of_five > elbo["IWAE"]
