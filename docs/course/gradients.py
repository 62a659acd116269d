# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. Gradients: why a tighter bound may teach the encoder less
#
# A step of training follows an estimate of the gradient of $L_K$. How good one is, its
# signal-to-noise ratio says: the mean over draws, by the standard deviation over draws, of
# the gradient of each weight. Draws of the same batch differ in nothing but the K codes of
# each picture.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_iwae
from keras_iwae.bounds import bound_gradients, estimators, objectives

train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))
model = keras_iwae.IWAE((8, 8, 1), latent_dim=10, hidden=(100,), num_samples=20)
model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
model.compile(keras_iwae.training.FusedAdam(4e-3), steps_per_execution=60)
model.fit(train.repeat(20), epochs=1, verbose=0)

DRAWS = 200
pictures = tf.constant(test[:20])


def ratios(objective, estimator, num_samples):
    """Signal-to-noise ratio of the gradient of the encoder, and of the decoder."""

    @tf.function
    def gradients(seed):
        found = bound_gradients(
            model.posterior,
            model.generative,
            pictures,
            num_samples,
            seed,
            objectives.get(objective),
            estimators.get(estimator),
        )
        parts = found.posterior, found.generative
        return [tf.concat([tf.reshape(g, [-1]) for g in part], 0) for part in parts]

    drawn = [gradients(tf.constant([0, draw])) for draw in range(DRAWS)]
    found = []
    for part in zip(*drawn, strict=True):
        values = np.array(part, np.float64)
        mean, variance = values.mean(axis=0), values.var(axis=0, ddof=1)
        # Pixels that are black in all pictures teach nothing.
        moved = variance > 1e-20
        # The square of a mean of draws is 1 / DRAWS of the variance too large.
        squared = np.mean(mean[moved] ** 2 / variance[moved]) - 1 / DRAWS
        found.append(np.sqrt(max(squared, 0.0)))
    return found


# %% [markdown]
# ## Encoder and decoder against K
#
# With more draws the estimate of $L_K$ gets better, and so does the gradient of the decoder,
# like $\sqrt{K}$. The encoder's has another fate. As $L_K$ nears $\log p(x)$, which depends
# on q no more, the gradient in q goes to 0, and faster than its noise (Rainforth et al.
# 2018).
#
# *Expect* the decoder's ratio to rise with K all the way; and the encoder's, by the plain
# reparameterized gradient, to fall.
#
# The remedy is another estimate of the same gradient. The doubly reparameterized one, DReG
# (Tucker et al. 2018), takes the part that comes by way of the parameters of log q, whose mean
# is not 0 where draws are weighed, and has it go through the draws once more. Weights become
# their squares, and most of the noise is gone.
#
# *Expect* by DReG an encoder's ratio that does not fall from 8 to 256 draws, several times
# the plain one; and the decoder's as before, for its gradient is the same.

# %%
SIZES = (1, 8, 64, 256)
found = {
    estimator: {k: ratios("iwae", estimator, k) for k in SIZES}
    for estimator in ("reparameterized", "dreg")
}
for estimator, by_k in found.items():
    for k, (encoder, decoder) in by_k.items():
        print(f"{estimator:16} K = {k:3}   encoder {encoder:.2f}   decoder {decoder:.2f}")

plain, dreg = found["reparameterized"], found["dreg"]
assert plain[1][0] > 2 * plain[64][0]
assert plain[1][1] < plain[8][1] < plain[64][1] < plain[256][1]
assert dreg[256][0] > 0.75 * dreg[8][0]
assert dreg[256][0] > 4 * plain[256][0]
assert np.isclose(dreg[64][1], plain[64][1], rtol=1e-3)

# %% Signal-to-noise ratios against K; dotted: the square root of K, and one over it
figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for part, axes in enumerate(panels):
    for estimator, by_k in found.items():
        axes.loglog(SIZES, [each[part] for each in by_k.values()], "o-", label=estimator)
    power, start = (0.5, plain[1][1]) if part else (-0.5, plain[1][0])
    axes.loglog(SIZES, [start * k**power for k in SIZES], "k:")
    axes.set_title(("encoder", "decoder")[part])
    axes.set_xlabel("K")
panels[0].legend()
plt.show()

# %% [markdown]
# This is why `IWAE` takes "dreg" by itself where it can. The [table of
# estimators](../objectives.md) says which others there are, and what each goes with.
#
# ## Exercises
#
# **1.** MIWAE averages bounds of fewer draws: 64 draws in 8 groups give the mean of eight
# $L_8$. Is its encoder's gradient, by the plain estimator, better than that of $L_{64}$?

# %% [markdown] tags=["answer"]
# It is: the signal is that of $L_8$, and the mean of eight groups has less noise. The price
# is a bound that is less tight for the decoder.

# %% tags=["answer"]
grouped = ratios(objectives.MIWAE(num_groups=8), "reparameterized", 64)
print(f"encoder: MIWAE {grouped[0]:.2f}, IWAE {plain[64][0]:.2f}")
assert grouped[0] > 1.5 * plain[64][0]

# %% [markdown]
# **2.** What does K do to the encoder's gradient of the ELBO?

# %% [markdown] tags=["answer"]
# It is a mean of K independent estimates of one gradient: its ratio rises like $\sqrt{K}$.
# The ELBO's own estimator, without noise where q is the posterior, is "stl": it is "dreg" where
# K is 1.

# %% tags=["answer"]
few, many = (ratios("elbo", "stl", k)[0] for k in (1, 64))
print(f"encoder: {few:.2f} with one draw, {many:.2f} with 64")
assert 5 < many / few < 12
assert np.isclose(few, dreg[1][0], rtol=1e-3)
