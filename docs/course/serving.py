# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 9. Serving
#
# A trained model leaves Python as a SavedModel: TensorFlow operations and weights, which TF
# Serving loads without Keras and without this package. Here it is asked without a server.
#
# *Expect* a line for each endpoint, with its inputs and outputs: images go in and densities
# come out, latents go in and images come out, and whatever draws takes a seed.

# %%
import tempfile

import numpy as np
import tensorflow as tf

import keras_iwae

train = keras_iwae.data.load("digits", "train", batch_size=100)
test = np.concatenate(list(keras_iwae.data.load("digits", "test")))
model = keras_iwae.IWAE((8, 8, 1), latent_dim=10, hidden=(100,), num_samples=5)
model.initialize_output_bias(keras_iwae.data.mean_image("digits"))
model.compile(keras_iwae.training.FusedAdam(4e-3), steps_per_execution=60)
model.fit(train.repeat(20), epochs=1, verbose=0)

kept = tempfile.TemporaryDirectory()
folder = kept.name
keras_iwae.export_saved_model(model, folder)
served = keras_iwae.load_saved_model(folder)
for name, signature in sorted(served.signatures.items()):
    inputs = ", ".join(signature.structured_input_signature[1])
    print(f"{name}({inputs}) -> {', '.join(signature.structured_outputs)}")

# %% [markdown]
# ## Chance is an input
#
# No endpoint keeps a random state: where there is chance, the seed is an input, and a row of
# an answer is of its own seed alone.
#
# *Expect* the same picture for the same seed, whatever else is asked for with it, and the one
# that `model.sample` gives.

# %%
sample = served.signatures["sample"]
alone = sample(seed=tf.constant([7]))["images"][0]
among = sample(seed=tf.constant([1, 7, 3]))["images"][1]
print("pixels that differ:", int(np.sum(alone != among)))
assert np.array_equal(alone, among)
assert np.array_equal(alone, model.sample(1, seed=7).events[0])
assert not np.array_equal(alone, sample(seed=tf.constant([8]))["images"][0])

# %% [markdown]
# ## Scores
#
# *Expect* of `log_likelihood` the bound $L_K$ of each picture, with as many draws as are
# asked for, near the one that an evaluation finds; and far lower scores for pictures that are
# none.

# %%
score = served.signatures["log_likelihood"]
draws = {"num_samples": tf.constant(500), "seed": tf.constant(0)}
digits = score(images=tf.constant(test[:50]), **draws)["log_likelihood"].numpy()
evaluated = keras_iwae.importance_weighted_nll(model, test[:50], 500, verbose=False)
noise = np.random.default_rng(0).integers(0, 2, (50, 8, 8, 1)).astype(np.float32)
of_noise = score(images=tf.constant(noise), **draws)["log_likelihood"].numpy()
print(
    f"served {digits.mean():.2f}, evaluated {-evaluated.nll:.2f}, noise {of_noise.mean():.2f}"
)
assert abs(digits.mean() + evaluated.nll) < 0.05
assert of_noise.mean() < digits.mean() - 20
assert of_noise.max() < digits.min()

# %% [markdown]
# ## What is refused
#
# *Expect* an error for what is no data of this model, as of `fit`: a pixel of 2.

# %%
refused = ""
try:
    score(images=tf.constant(2.0 * test[:1]), **draws)
except tf.errors.InvalidArgumentError as error:
    refused = error.message
assert "`images`. Expected values in [0, 1]" in refused
print(refused[refused.index("Invalid value") :].splitlines()[0])

# %% [markdown]
# [Serving](../serving.md) has the server, the limits of a request, and tables.
#
# ## Exercises
#
# **1.** Export the model once more into the same folder. Which version does a client get?

# %% [markdown] tags=["answer"]
# The higher one: versions are folders 1, 2, ..., and a server goes over to the highest as
# soon as it is whole. `load_saved_model(folder, version=1)` still has the first.

# %% tags=["answer"]
print("written:", keras_iwae.export_saved_model(model, folder).name)
again = keras_iwae.load_saved_model(folder).signatures["sample"](seed=tf.constant([7]))
assert np.array_equal(alone, again["images"][0])

# %% [markdown]
# **2.** Make a morph of two digits with `encode` and `decode`.

# %% [markdown] tags=["answer"]
# Encode both, go from one mean to the other in steps, and decode what lies between: the ends
# are the reconstructions of the two.

# %% tags=["answer"]
means = served.signatures["encode"](images=tf.constant(test[:2]))["mean"].numpy()
steps = np.linspace(0, 1, 8, dtype=np.float32)[:, None]
between = (1 - steps) * means[0] + steps * means[1]
pictures = served.signatures["decode"](latents=tf.constant(between))["probabilities"]
ends = served.signatures["reconstruct"](images=tf.constant(test[:2]))["probabilities"]
assert np.allclose(pictures[0], ends[0], atol=1e-4)
assert np.allclose(pictures[-1], ends[1], atol=1e-4)
