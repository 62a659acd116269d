# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. Learned priors
#
# The prior $N(0, I)$ is a choice of convenience. Averaged over the pictures,
#
# $E_x[\mathrm{KL}(q(z|x), p(z))] = I(x; z) + \mathrm{KL}(q(z), p(z))$, $q(z) = E_x[q(z|x)]$,
#
# and the second part is paid for nothing: it is how far the codes of all pictures together,
# the aggregate posterior, are from what p(z) says. A prior that is learned takes it away.

# %%
import matplotlib.pyplot as plt
import numpy as np

import keras_iwae
from keras_iwae import priors

train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))


def trained(prior):
    """A model after 60 passes over the training digits."""
    model = keras_iwae.IWAE((8, 8, 1), latent_dim=10, hidden=(100,), num_samples=5, prior=prior)
    model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
    model.compile(keras_iwae.training.FusedAdam(4e-3), steps_per_execution=60)
    model.fit(train.repeat(20), epochs=3, verbose=0)
    return model


models = {
    "standard normal": trained(None),
    "mixture": trained(priors.MixturePrior(10, num_components=100)),
    "flow": trained(priors.FlowPrior(10)),
}

# %% [markdown]
# ## What it buys
#
# *Expect* both learned priors to be better than the standard normal, by some tenths of a nat:
# digits fall into heaps, which a mixture has a component for, and a flow bends N(0, I) to.

# %%
nll = {}
for name, model in models.items():
    nll[name] = keras_iwae.importance_weighted_nll(model, test, 1000, verbose=False).nll
    print(f"{name:15}  NLL {nll[name]:.2f} nats")

assert nll["mixture"] < nll["standard normal"] - 0.1
assert nll["flow"] < nll["standard normal"] - 0.1

# %% [markdown]
# ## What the prior draws
#
# *Expect* draws of the learned priors to be more often whole digits: they come from where
# codes of digits are. Measured here by how far a drawn picture is from the nearest training
# digit.

# %% Pictures decoded from draws of each prior
figure, panels = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for axes, (name, model) in zip(panels, models.items(), strict=True):
    pictures = keras_iwae.plots.image_grid(model.sample(64, seed=1).mean, columns=8)
    axes.imshow(pictures, cmap="gray")
    axes.set_title(name)
    axes.set_axis_off()
plt.show()

# %%
digits = np.concatenate(list(train))


def distance(pictures):
    return (
        ((np.asarray(pictures)[:, None] - digits) ** 2).sum(axis=(2, 3, 4)).min(axis=1).mean()
    )


far = {name: distance(model.sample(500, seed=2).mean) for name, model in models.items()}
print({name: f"{each:.2f}" for name, each in far.items()})
assert max(far["mixture"], far["flow"]) < far["standard normal"]

# %% [markdown]
# ## Exercises
#
# **1.** How much of what the mixture buys is left with 10 components?

# %% [markdown] tags=["answer"]
# Part of it: as many components as there are digits are fewer than there are heaps.

# %% tags=["answer"]
ten = trained(priors.MixturePrior(10, num_components=10))
found = keras_iwae.importance_weighted_nll(ten, test, 1000, verbose=False).nll
print(f"10 components {found:.2f}, 100 components {nll['mixture']:.2f} nats")
assert found > nll["mixture"]

# %% [markdown]
# **2.** Compare the length of draws of the posteriors, by the model with the standard normal,
# with that of draws of its prior. Do they tell that the prior does not fit?

# %% [markdown] tags=["answer"]
# No, the two are about the same. What does not fit is in which directions codes lie: in some
# there are digits, and in others none.

# %% tags=["answer"]
posterior = models["standard normal"].posterior
z, _ = posterior.sample_and_log_prob(test, 20, seed=np.array([0, 1], np.int32))
length = np.linalg.norm(z, axis=-1).mean()
print(f"length of a draw of the posteriors {length:.2f}, of the prior {np.sqrt(10):.2f}")
assert abs(length - np.sqrt(10)) < 0.3
