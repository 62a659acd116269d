# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Active units and posterior collapse
#
# A model may have thirty latent units and use nine. Which ones, the posterior says: a unit
# whose mean is the same for every picture tells nothing of any,
#
# $A_u = \mathrm{Var}_x(E_{q(u|x)}[u])$, and the unit is called active where $A_u > 0.01$.
#
# Where no unit is active the posterior has *collapsed*: $q(z|x)$ is much the same for every
# picture, after training $p(z)$ itself, which costs no KL, and the decoder makes do without z.

# %%
import matplotlib.pyplot as plt
import numpy as np

import keras_iwae
from keras_iwae.evaluation import diagnostics, latents, pruned

train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))


def trained(objective, num_samples, batches, latent_dim=30, peak=5e-3, steps=1000):
    """A model after so many steps, whose learning rate ends at 0."""
    model = keras_iwae.IWAE(
        (8, 8, 1), latent_dim, hidden=(100,), objective=objective, num_samples=num_samples
    )
    model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
    schedule = keras_iwae.training.warm_cosine(steps, peak)
    model.compile(keras_iwae.training.FusedAdam(schedule), steps_per_execution=100)
    model.fit(batches.repeat(), steps_per_epoch=steps, verbose=0)
    return model


# %% [markdown]
# ## Which units are used
#
# The VAE pays for every unit that it uses by a KL, and is given nothing for one that improves
# draws here and there. The IWAE's draws are weighed, and so a unit that helps some of them is
# worth having.
#
# *Expect* a few units of the VAE to carry nearly all of the KL and many to carry next to none;
# and more units of use in the IWAE. *Expect* also that the threshold of 0.01 sees little of it:
# after a short training most of the silent units are not yet quite silent.

# %%
models = {"VAE": trained("elbo", 1, train), "IWAE": trained("iwae", 20, train)}
variances, carrying = {}, {}
for name, model in models.items():
    found = latents(model, test)
    variances[name] = diagnostics.mean_variances(found.means)
    carrying[name] = int(np.sum(variances[name] > 0.1))
    active = diagnostics.active_units(found.means).sum()
    print(
        f"{name:4}  A above 0.01 for {active} of 30 units, above 0.1 for {carrying[name]}; "
        f"KL {found.kl.mean():.2f} nats"
    )

assert np.mean(variances["VAE"] > 0.01) > 0.6
assert 5 <= carrying["VAE"] <= 14
assert carrying["IWAE"] > carrying["VAE"] + 3

# %% Variances of the units' means, the largest first; dashed: the threshold
for name, marker in (("VAE", "o"), ("IWAE", "^")):
    plt.semilogy(np.sort(variances[name])[::-1], marker, label=name)
plt.axhline(diagnostics.ACTIVE_UNIT_THRESHOLD, color="gray", linestyle="--")
plt.xlabel("unit")
plt.ylabel("A")
plt.legend()
plt.show()

# %% [markdown]
# So a count of active units alone is not worth much. Look at the variances, or at how many
# units carry 95% of the KL (`diagnostics.units_that_carry`).
#
# ## What a unit is worth
#
# `pruned` takes units out: a removed one has $q = p = N(0, 1)$ and the decoder sees 0.
#
# *Expect* that taking out all units of the VAE with A below 0.1, most of the thirty, costs
# next to nothing, and that taking out half of the others costs several times as much.

# %%
vae, found = models["VAE"], {}
largest = np.argsort(variances["VAE"])[::-1]
for kept in (30, carrying["VAE"], carrying["VAE"] // 2):
    keep = np.isin(np.arange(30), largest[:kept])
    result = keras_iwae.importance_weighted_nll(pruned(vae, keep), test, 1000, verbose=False)
    found[kept] = result.nll
    print(f"{kept:2} units: NLL {found[kept]:.2f} nats")

cost = {kept: each - found[30] for kept, each in found.items()}
assert cost[carrying["VAE"]] < 0.2
assert cost[carrying["VAE"] // 2] > max(0.25, 3 * cost[carrying["VAE"]])

# %% [markdown]
# ## Collapse that is right
#
# Take the digits apart: shuffle each pixel among the pictures. Every pixel keeps how often it
# is white, and knows nothing of its neighbours. There is nothing that a code could tell a
# decoder about a picture's pixels which it does not know without.
#
# *Expect* a collapse, all units at A of about 0; and that it is no fault: the NLL is that of
# independent pixels, which no model of such pictures beats.

# %%
rng = np.random.default_rng(0)


def shuffled(split, times):
    """Pictures of a split whose pixels were each shuffled among them, several times over."""
    pixels = keras_iwae.data.images("digits", split).reshape(-1, 64)
    return np.concatenate([rng.permuted(pixels, axis=0) for _ in range(times)])[..., None]


apart = shuffled("train", 8).reshape(-1, 8, 8, 1)
unseen = np.concatenate(
    list(keras_iwae.data.load(shuffled("test", 1).reshape(-1, 8, 8, 1), "test"))
)
batches = keras_iwae.data.load(apart, "train", batch_size=200)
collapsed = trained("elbo", 1, batches, latent_dim=10, peak=1e-2, steps=800)

codes = latents(collapsed, unseen)
nll = keras_iwae.importance_weighted_nll(collapsed, unseen, 500, verbose=False).nll
white = np.clip(keras_iwae.data.mean_image("digits"), 1e-3, 1 - 1e-3)
independent = -(unseen * np.log(white) + (1 - unseen) * np.log(1 - white)).sum((1, 2, 3)).mean()
print(
    f"largest A {diagnostics.mean_variances(codes.means).max():.4f}, "
    f"KL {codes.kl.mean():.3f} nats"
)
print(f"NLL {nll:.2f}, of independent pixels {independent:.2f} nats")

assert not diagnostics.active_units(codes.means).any()
assert abs(nll - independent) < 0.15

# %% [markdown]
# Collapse is a fault where a model could use its code and does not: at the start of training,
# when z is still noise to the decoder, the ELBO gains most by making q into p, and units that
# were given up rarely come back.
#
# ## Exercises
#
# **1.** A remedy is to let the KL count for little at first, `kl_warmup_steps`. How many
# units of the VAE have an A above 0.1 when it is raised over the first 400 steps?

# %% [markdown] tags=["answer"]
# More: units are not given up before the decoder has found a use for them. The log-likelihood
# hardly moves: the first few carry what there is to be told about 8 x 8 pixels.

# %% tags=["answer"]
warmed = keras_iwae.IWAE(
    (8, 8, 1), 30, hidden=(100,), objective="elbo", num_samples=1, kl_warmup_steps=400
)
warmed.initialize_output_bias(keras_iwae.data.mean_image("digits"))
schedule = keras_iwae.training.warm_cosine(1000, 5e-3)
warmed.compile(keras_iwae.training.FusedAdam(schedule), steps_per_execution=100)
warmed.fit(train.repeat(), steps_per_epoch=1000, verbose=0)
used = int(np.sum(diagnostics.mean_variances(latents(warmed, test).means) > 0.1))
score = keras_iwae.importance_weighted_nll(warmed, test, 1000, verbose=False).nll
print(f"{used} units, NLL {score:.2f}; without warm-up {carrying['VAE']}, NLL {found[30]:.2f}")
assert used > carrying["VAE"] + 5
assert abs(score - found[30]) < 0.3

# %% [markdown]
# **2.** The KL of the VAE is a few nats. How many digits could it tell apart with so much
# information, at most?

# %% [markdown] tags=["answer"]
# The mean KL is at least the mutual information of picture and code, and n nats tell $e^n$
# equally likely things apart: about a hundred kinds of pictures, more than there are digits
# and far fewer than there are pictures.

# %% tags=["answer"]
kl = latents(models["VAE"], test).kl.mean()
print(f"KL {kl:.2f} nats: {np.exp(kl):.0f} kinds")
assert 30 < np.exp(kl) < 300
