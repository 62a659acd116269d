# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6. Flows and other posteriors, in two dimensions
#
# With two latent units a posterior can be seen whole. Here the generative model is fixed, so
# that nothing gives way: $z \sim N(0, I)$, and one number is measured,
# $x \sim N(z_2 - z_1^2 / 2,\; 0.3^2)$. Given $x = 0$ the posterior lies along the parabola
# $z_2 = z_1^2 / 2$: a banana, and no Gaussian.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import keras_iwae


class Parabola(keras.layers.Layer):
    """The mean of what is measured."""

    def call(self, z):
        return z[..., 1:] - 0.5 * z[..., :1] ** 2


measured = np.zeros((100, 1), np.float32)


def fitted(posterior, objective="elbo", num_samples=1, mean=Parabola):
    """A posterior after 2,000 steps, each with 100 times the same measurement."""
    model = keras_iwae.IWAE(
        1,
        latent_dim=2,
        hidden=(32,),
        num_samples=num_samples,
        objective=objective,
        posterior=posterior,
        likelihood=keras_iwae.likelihoods.GaussianLikelihood(scale=0.3),
        decoder=mean(),
    )
    model.generative.trainable = False
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 2000)
    model.compile(keras_iwae.training.FusedAdam(rate), steps_per_execution=100)
    data = tf.data.Dataset.from_tensors(measured).repeat(2000)
    model.fit(data, epochs=1, verbose=0)
    return model


# %% [markdown]
# ## What the ELBO misses
#
# log p(x) is an integral over two numbers, which a grid gives to many digits. The gap of the
# ELBO to it is KL(q(z|x), p(z|x)).
#
# *Expect* the Gaussian to miss most. A full covariance can turn, and the banana is even to both
# sides: it gains nothing. A mixture of four Gaussians lays them along the curve. A masked
# autoregressive flow takes $z_1$ first and then shifts $z_2$ by a function of it: that is what
# a banana is, and the gap all but closes. Eight planar steps, each a bend along one line, come
# near to it.

# %%
side = np.linspace(-5.0, 5.0, 401)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
log_joint = -0.5 * (grid**2).sum(axis=1) - np.log(2 * np.pi)
deviation = (grid[:, 1] - 0.5 * grid[:, 0] ** 2) / 0.3
log_joint += -0.5 * deviation**2 - np.log(0.3 * np.sqrt(2 * np.pi))
exact = np.log(np.exp(log_joint).sum() * (side[1] - side[0]) ** 2)
print(f"log p(x) = {exact:.3f} nats")


def gap(model, draws=20000):
    """KL(q, p(z|x)) in nats, from draws of q."""
    weights = model.log_weights(measured[:1], draws, np.array([0, 1], np.int32))
    return exact - float(np.mean(weights))


names = "gaussian", "full_covariance", "mixture", "planar", "maf"
models = {name: fitted(name) for name in names}
gaps = {name: gap(model) for name, model in models.items()}
for name in names:
    print(f"{name:16} misses {gaps[name]:.3f} nats")

assert gaps["gaussian"] > 0.3
assert abs(gaps["full_covariance"] - gaps["gaussian"]) < 0.05
assert gaps["mixture"] < gaps["gaussian"] - 0.1
assert gaps["planar"] < 0.1
assert gaps["maf"] < 0.05

# %% [markdown]
# *Expect* to see why: the draws of each posterior, on the density that they are to have.

# %% Draws of five posteriors on the exact one
figure, panels = plt.subplots(1, 5, figsize=(12, 2.8), layout="constrained", sharey=True)
for axes, (name, model) in zip(panels, models.items(), strict=True):
    density = np.exp(log_joint - exact).reshape(401, 401)
    axes.contourf(side, side, density, levels=12, cmap="Blues")
    z, _ = model.posterior.sample_and_log_prob(measured[:1], 300, np.array([0, 2], np.int32))
    axes.plot(z[:, 0, 0], z[:, 0, 1], ".", color="tab:red", markersize=2)
    axes.set(title=name, xlim=(-3, 3), ylim=(-2, 4), xlabel="$z_1$")
panels[0].set_ylabel("$z_2$")
plt.show()

# %% [markdown]
# ## What more samples do in its place
#
# The importance weighted bound does not ask q to be the posterior. It asks that some of K draws
# lie well, and pays for places that q leaves out.
#
# *Expect* the Gaussian that IWAE trained with K = 50 to be wider than the one of the ELBO, its
# own ELBO to be worse, and its bound $L_{50}$ to come close to log p(x).

# %%
wide = fitted("gaussian", "iwae", 50)


def width(model):
    """Standard deviation of the second latent unit under q."""
    return float(model.posterior.distribution(measured[:1]).stddev()[0, 1])


def bound(model, num_samples):
    """L_K in nats, for one measurement, averaged over 400."""
    x = np.zeros((400, 1))
    return -keras_iwae.importance_weighted_nll(model, x, num_samples, verbose=False).nll


print(f"ELBO:  width {width(models['gaussian']):.2f}, misses {gaps['gaussian']:.2f} nats")
short = exact - bound(wide, 50)
print(f"IWAE:  width {width(wide):.2f}, misses {gap(wide):.2f}, and L_50 {short:.3f}")
assert width(wide) > 1.2 * width(models["gaussian"])
assert gap(wide) > gaps["gaussian"]
assert short < 0.1

# %% [markdown]
# ## Exercises
#
# **1.** Does a better posterior or a larger K do more for $L_5$ here? Compare the flow of the
# ELBO with the Gaussian of IWAE-50, both with K = 5.

# %% [markdown] tags=["answer"]
# The flow: where q is nearly the posterior, all weights are nearly p(x), and one draw would do.

# %% tags=["answer"]
flow, gaussian = exact - bound(models["maf"], 5), exact - bound(wide, 5)
print(f"short of log p(x): flow {flow:.3f}, wide Gaussian {gaussian:.3f} nats")
assert flow < gaussian

# %% [markdown]
# **2.** The flow that is trained here shifts $z_2$ given $z_1$. Would it do as well for a
# banana that lies the other way, $z_1 = z_2^2 / 2$?

# %% [markdown] tags=["answer"]
# One step of it would not: it cannot shift what it takes first by what comes after. The flow
# here has four, with the units in the other order in every second one.

# %% tags=["answer"]


class Turned(keras.layers.Layer):
    """The parabola with its axes in the other order."""

    def call(self, z):
        return z[..., :1] - 0.5 * z[..., 1:] ** 2


turned = gap(fitted("maf", mean=Turned))
print(f"turned round it misses {turned:.3f} nats")
assert turned < 0.1
