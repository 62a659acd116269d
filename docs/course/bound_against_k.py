# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. The bound against K
#
# K is in two places: in training, as the number of draws that the bound is made of, and in
# evaluation, where the same bound with many more draws stands for $\log p(x)$. This lesson
# takes the second first, for there the model stays what it is.
#
# $L_K = E[\log \frac{1}{K} \sum_{k=1}^K w_k]$, $w_k = p(x, z_k) / q(z_k|x)$, has $E[w] =
# p(x)$ whatever q is. So its log is too small on average, by Jensen's inequality, and less so
# the less the mean of K weights varies:
#
# $\log p(x) - L_K \approx \frac{1}{2 K} \mathrm{Var}(w) / p(x)^2$.

# %%
import matplotlib.pyplot as plt
import numpy as np

import keras_iwae

train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))


def trained(objective, num_samples):
    """A model after 60 passes over the training digits."""
    model = keras_iwae.IWAE(
        (8, 8, 1), latent_dim=10, hidden=(100,), objective=objective, num_samples=num_samples
    )
    model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
    model.compile(keras_iwae.training.FusedAdam(4e-3), steps_per_execution=60)
    model.fit(train.repeat(20), epochs=3, verbose=0)
    return model


model = trained("iwae", 20)

# %% [markdown]
# ## One model, more and more draws
#
# An evaluation with K draws has the bounds of fewer for nothing: cut into K // k groups, the
# same draws give as many estimates of $L_k$, which are averaged.
#
# *Expect* a curve that rises at every k, steeply at first: most of what there is to gain is
# gained with ten draws. From then on the gap halves where k doubles, so that k times the gap
# stays about the same.

# %% L_k against k
result = keras_iwae.importance_weighted_nll(model, test, num_samples=5000, verbose=False)
bound = {k: float(values.mean()) for k, values in result.bound_per_example.items()}
gap = {k: bound[5000] - value for k, value in bound.items()}
for k in (1, 2, 5, 10, 20, 50, 100):
    print(
        f"k = {k:3}   L_k {bound[k]:.3f}   gap {gap[k]:.3f} nats   "
        f"k times the gap {k * gap[k]:.2f}"
    )

plt.figure(figsize=(5, 3))
plt.semilogx(sorted(bound), [bound[k] for k in sorted(bound)], "o-")
plt.xlabel("k, draws in the bound")
plt.ylabel("L_k, nats")
plt.tight_layout()
plt.show()

# %%
in_order = [bound[k] for k in sorted(bound) if k <= 1000]
assert all(np.diff(in_order) > 0)
assert gap[10] < 0.2 * gap[1]
assert max(k * gap[k] for k in (10, 20, 50)) < 1.35 * min(k * gap[k] for k in (10, 20, 50))

# %% [markdown]
# So K in evaluation is a matter of patience: when the last steps of the curve are less than
# what you care for, it was enough. That needs weights whose variance is finite and not too
# large; lesson 4 is about those that are not.

# %% [markdown]
# ## K in training
#
# Here each K is another model. More draws do two things: the bound that is climbed is
# tighter, and the decoder's gradient is less noisy (the encoder's is lesson 5's). The ELBO
# with 20 draws, the mean of 20 log weights, has the second and not the first: it is still
# $L_1$.
#
# *Expect* the IWAE with 20 draws to be the best by log-likelihood. *Expect* also that a part
# of what it gains over the VAE is the quieter gradient's, which the ELBO with 20 draws has,
# too: who compares K = 20 with K = 1 alone gives all of it to the bound.

# %%
trainings = {
    "ELBO, 1 draw": ("elbo", 1),
    "ELBO, 20 draws": ("elbo", 20),
    "IWAE, K = 5": ("iwae", 5),
    "IWAE, K = 20": ("iwae", 20),
}
nll, elbo = {}, {}
for name, (objective, num_samples) in trainings.items():
    each = model if name == "IWAE, K = 20" else trained(objective, num_samples)
    found = keras_iwae.importance_weighted_nll(each, test, num_samples=1000, verbose=False)
    nll[name], elbo[name] = found.nll, float(found.bound_per_example[1].mean())
    print(f"{name:14}   NLL {nll[name]:.2f}   its own ELBO {elbo[name]:.2f} nats")

assert nll["IWAE, K = 20"] < nll["ELBO, 20 draws"] < nll["ELBO, 1 draw"]
assert nll["IWAE, K = 5"] < nll["ELBO, 1 draw"]
assert elbo["ELBO, 20 draws"] == max(elbo.values())

# %% [markdown]
# The ELBO is best where it was climbed, with the quietest gradient, and the log-likelihood is
# not best there. That is the trade: an encoder that is free to be worse for its own sake
# leaves the decoder more freedom.

# %% What each training gives: bounds with one draw, and with 1,000
plt.figure(figsize=(6, 2.4))
places = np.arange(len(trainings))
plt.barh(places, [-nll[name] - elbo[name] for name in trainings], left=list(elbo.values()))
plt.yticks(places, list(trainings))
plt.xlabel("nats: from the ELBO, left, to log p(x), right")
plt.gca().invert_yaxis()
plt.tight_layout()
plt.show()

# %% [markdown]
# ## Exercises
#
# **1.** You have $L_{10}$ and $L_{20}$ and no time for more. What is your guess of $\log
# p(x)$, and how far off is it?

# %% [markdown] tags=["answer"]
# The gap halves from 10 to 20, and so $L_{20} - L_{10}$ is half of the gap of $L_{10}$: the
# guess is $2 L_{20} - L_{10}$. It is much nearer than $L_{20}$ is, but no bound any more.
# What `result.jackknife_nll` says is the same idea, from K and K - 1 draws.

# %% tags=["answer"]
guess = 2 * bound[20] - bound[10]
print(f"off by {abs(guess - bound[5000]):.3f} nats, where L_20 is off by {gap[20]:.3f}")
assert abs(guess - bound[5000]) < gap[20] / 2

# %% [markdown]
# **2.** How many draws does it take until the gap is below 0.01 nats? Answer from k = 20
# alone, then look at the curve.

# %% [markdown] tags=["answer"]
# As k times the gap stays the same, about 20 times the gap of $L_{20}$ over 0.01. The curve
# has 50, 100 and 200.

# %% tags=["answer"]
draws = 20 * gap[20] / 0.01
print(
    f"{draws:.0f} draws by the rule; "
    f"the gap of 50 draws is {gap[50]:.3f}, of 200 {gap[200]:.3f}"
)
assert 50 < draws < 200
assert gap[200] < 0.01 < gap[50]
