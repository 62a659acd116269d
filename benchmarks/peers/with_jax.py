"""JAX: one compiled step, images in the device's memory, binarization and Adam (optax) inside; and a batched NLL."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _network import load_weights
from _serve import serve


def dense(x, weights, layer):
    return x @ weights[2 * layer] + weights[2 * layer + 1]


def encode(weights, x):
    features = jnp.tanh(dense(jnp.tanh(dense(x, weights, 0)), weights, 1))
    return dense(features, weights, 2), dense(features, weights, 3)


def log_weights(weights, x, loc, log_scale, key, samples):
    noise = jax.random.normal(key, (samples, *loc.shape))
    z = loc + jnp.exp(log_scale) * noise
    rows = z.reshape(-1, loc.shape[-1])
    hidden = jnp.tanh(dense(jnp.tanh(dense(rows, weights, 4)), weights, 5))
    logits = dense(hidden, weights, 6).reshape(samples, *x.shape)
    log_likelihood = (x * logits - jax.nn.softplus(logits)).sum(-1)
    return log_likelihood + (0.5 * noise**2 - 0.5 * z**2 + log_scale).sum(-1)


def loss(weights, x, key, samples):
    terms = log_weights(weights, x, *encode(weights, x), key, samples)
    return -(jax.nn.logsumexp(terms, axis=0) - jnp.log(samples)).mean()


class Train:
    device = jax.default_backend()

    def __init__(self, settings: dict):
        self.samples, self.batch_size = settings["num_samples"], settings["batch_size"]
        self.images = jnp.asarray(np.load(settings["images"]))
        self.optimizer, self.rng = optax.adam(1e-3), np.random.default_rng(0)
        self.state = [jnp.asarray(w) for w in load_weights(settings["weights"])]
        self.moments, self.key = self.optimizer.init(self.state), jax.random.key(0)

        @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(weights, moments, key, images, rows):
            key, pixels, draws = jax.random.split(key, 3)
            x = jax.random.bernoulli(pixels, images[rows] / 255.0).astype(jnp.float32)
            gradient = jax.grad(loss)(weights, x, draws, self.samples)
            change, moments = self.optimizer.update(gradient, moments, weights)
            return optax.apply_updates(weights, change), moments, key

        self.step = step

    def ready(self, count: int):
        def run():
            order = self.rng.permutation(len(self.images))
            for start in range(0, count * self.batch_size, self.batch_size):
                rows = order[start : start + self.batch_size]
                self.state, self.moments, self.key = self.step(self.state, self.moments, self.key, self.images, rows)
            jax.block_until_ready(self.state)

        return run

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(w) for w in self.state]


class NLL:
    """All K samples of a batch of images in one compiled loop over chunks; the encoder runs once."""

    chunk, batch_size = 25, 200

    def __init__(self, settings: dict):
        self.samples = settings["num_samples"]
        self.images = jnp.asarray((np.load(settings["images"]) > 127).astype(np.float32))
        self.state, self.key = [jnp.asarray(w) for w in load_weights(settings["weights"])], jax.random.key(0)
        whole, rest = divmod(self.samples, self.chunk)

        @jax.jit
        def total(weights, x, key):
            # On a GPU too: what is reported is no difference of rounding.
            with jax.default_matmul_precision("highest"):
                return in_float32(weights, x, key)

        def in_float32(weights, x, key):
            loc, log_scale = encode(weights, x)

            def added(running, key, samples):
                terms = log_weights(weights, x, loc, log_scale, key, samples)
                return jnp.logaddexp(running, jax.nn.logsumexp(terms, axis=0))

            keys = jax.random.split(key, whole + 1)
            running = jnp.full(len(x), -jnp.inf)
            running, _ = jax.lax.scan(lambda so_far, one: (added(so_far, one, self.chunk), None), running, keys[:-1])
            if rest:
                running = added(running, keys[-1], rest)
            return (jnp.log(self.samples) - running).sum()

        self.total = total

    def ready(self, count: int):
        def run() -> float:
            sums = []
            for start in range(0, count, self.batch_size):
                self.key, key = jax.random.split(self.key)
                x = self.images[start : min(count, start + self.batch_size)]
                sums.append(self.total(self.state, x, key))
            return float(sum(sums)) / count

        return run

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(w) for w in self.state]


if __name__ == "__main__":
    serve({"train": Train, "nll": NLL})
