"""keras_iwae's sides: a step of `fit`, a pass of the fast recipe, the NLL, and the matrix products alone."""

import contextlib
import itertools

import keras
import numpy as np
import tensorflow as tf
from _network import assign, load_weights, variables_of
from _serve import serve
from _stopwatch import Stopwatch

import keras_iwae
from keras_iwae.experiments import build
from keras_iwae.experiments.paper_table import ROWS
from keras_iwae.foundation import float32_products
from keras_iwae.training.callbacks import FewerSamplesFirst
from keras_iwae.training.optimizers import FusedAdam


class Model:
    """A model that starts from given weights."""

    def __init__(self, settings: dict):
        names = "latent_dim", "num_samples", "backward_samples", "objective", "estimator", "posterior", "seed"
        arguments = {name: settings[name] for name in names if name in settings}
        self.images = np.load(settings["images"], mmap_mode="r")
        if arguments.get("posterior") == "adversarial":
            # It has the ELBO and no other bound.
            del arguments["objective"]
            self.model = keras_iwae.AVB(self.images.shape[1], **arguments)
        else:
            self.model = keras_iwae.IWAE(self.images.shape[1], **arguments)
        if "weights" in settings:
            assign(self.model, load_weights(settings["weights"]))

    def weights(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in variables_of(self.model)]


class Fit(Model):
    """Steps of `fit` as a user calls it: its metrics, its progress logger, its input pipeline over all images.

    What a call of `fit` takes before its first step comes once a training, and is not in `seconds`.
    """

    seconds: float | None = None

    def __init__(self, settings: dict):
        super().__init__(settings)
        size = settings["batch_size"]
        if settings.get("data", "load") == "load":
            self.batches = keras_iwae.data.load(np.array(self.images), "train", size, seed=settings.get("seed", 0))
        else:
            # One batch again and again: what is left of the time without an input pipeline.
            batch = (self.images[:size] > 127).astype(np.float32)
            self.batches = tf.data.Dataset.from_tensors(batch).repeat()
        optimizer = FusedAdam if settings.get("fused", False) else keras.optimizers.Adam
        self.model.compile(optimizer(1e-3), **settings.get("compile", {}))

    def ready(self, count: int):
        stopwatch = Stopwatch()

        def run():
            # One line an epoch, as in a log file: a bar would time the terminal.
            self.model.fit(self.batches, steps_per_epoch=count, verbose=2, callbacks=[stopwatch])
            a_step = stopwatch.seconds_a_step()
            self.seconds = None if a_step is None else a_step * count

        return run


class Pipeline:
    """Batches of `keras_iwae.data.load`, and nobody who uses them."""

    def __init__(self, settings: dict):
        images, size = np.load(settings["images"]), settings["batch_size"]
        self.batches = keras_iwae.data.load(images, "train", size, settings["binarization"])

    def ready(self, count: int):
        def run():
            for _ in self.batches.take(count):
                pass

        return run

    def weights(self) -> list[np.ndarray]:
        return []


class Recipe:
    """A row of the paper's table with its recipe in so many passes, from its own first weights."""

    def __init__(self, settings: dict):
        self.config = ROWS[settings["row"]].config.replaced(seed=settings["seed"], epochs=settings["passes"])
        self.model, self.passes = build(self.config), itertools.count()

    def ready(self, count: int):
        config, callbacks = self.config, []
        dataset, size, epochs = config.data.dataset, config.data.batch_size, config.run.epochs
        data = keras_iwae.data.load(dataset, "train", size, config.binarization, seed=config.run.seed)
        if config.objective.early_samples is not None:
            callbacks.append(FewerSamplesFirst(config.objective.early_samples, config.early_epochs))

        def run():
            done = next(self.passes)
            if done >= epochs:
                raise ValueError(f"the recipe ends after {epochs} passes")
            self.model.fit(data, initial_epoch=done, epochs=done + 1, callbacks=callbacks, verbose=2)

        return run

    def weights(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in variables_of(self.model)]


class NLL(Model):
    """`importance_weighted_nll` over binary images, by the encoder's draws or by proposals fitted to each image."""

    def __init__(self, settings: dict):
        super().__init__(settings)
        self.settings = {"proposal": settings.get("proposal", "amortized"), "bounds": (), "verbose": False}

    def ready(self, count: int):
        images = (self.images[:count] > 127).astype(np.float32)
        samples = self.model.num_samples

        def run():
            return keras_iwae.importance_weighted_nll(self.model, images, samples, **self.settings).nll

        return run


class Products:
    """The matrix products of a step, or of one chunk of the NLL, and nothing else: the roofline.

    They are chained as in the step, so that one waits for another where it would there, with plain `tf.matmul` in a
    `tf.function`: a network without activations, forward, and backward from its own output.
    """

    def __init__(self, settings: dict):
        self.forward_only = settings.get("forward_only", False)
        kernels = load_weights(settings["weights"])[::2]
        # Variables, so that no product is folded into a constant.
        self.encoder, self.decoder = ([tf.Variable(k) for k in part] for part in (kernels[:4], kernels[4:]))
        rng = np.random.default_rng(0)

        def operand(rows: int, columns: int) -> tf.Variable:
            return tf.Variable(rng.standard_normal((rows, columns)).astype(np.float32))

        batch, samples, drawn = settings["batch_size"], settings["num_samples"], settings.get("backward_samples")
        self.images = operand(batch, kernels[0].shape[0])
        self.latents = operand(batch * samples, kernels[4].shape[0])
        self.drawn = operand(batch * drawn, kernels[4].shape[0]) if drawn else None

    def _decoder(self, rows: tf.Tensor, backward: bool) -> tf.Tensor:
        inputs = [rows]
        for kernel in self.decoder:
            inputs.append(tf.matmul(inputs[-1], kernel))
        touched, upstream = inputs[-1][0, 0], inputs[-1]
        if backward:
            for kernel, x in zip(self.decoder[::-1], inputs[-2::-1], strict=True):
                touched += tf.matmul(x, upstream, transpose_a=True)[0, 0]
                upstream = tf.matmul(upstream, kernel, transpose_b=True)
            touched += upstream[0, 0]
        return touched

    def _encoder(self, images: tf.Tensor) -> tf.Tensor:
        first = tf.matmul(images, self.encoder[0])
        second = tf.matmul(first, self.encoder[1])
        touched, upstream = tf.zeros([]), tf.zeros_like(second)
        for head in self.encoder[2:]:
            parameters = tf.matmul(second, head)
            touched += tf.matmul(second, parameters, transpose_a=True)[0, 0]
            upstream += tf.matmul(parameters, head, transpose_b=True)
        touched += tf.matmul(first, upstream, transpose_a=True)[0, 0]
        upstream = tf.matmul(upstream, self.encoder[1], transpose_b=True)
        return touched + tf.matmul(images, upstream, transpose_a=True)[0, 0]

    def ready(self, count: int):
        def step(total: tf.Tensor) -> tf.Tensor:
            # One step after the other, and none of them lifted out of the loop.
            with tf.control_dependencies([total]):
                images, latents = tf.identity(self.images), tf.identity(self.latents)
                if self.forward_only:
                    return total + self._decoder(latents, backward=False)
                touched = self._encoder(images) + self._decoder(latents, backward=self.drawn is None)
                if self.drawn is not None:
                    touched += self._decoder(tf.identity(self.drawn), backward=True)
                return total + touched

        @tf.function
        def steps(number):
            return tf.while_loop(
                lambda i, _: i < number,
                lambda i, total: (i + 1, step(total)),
                (tf.constant(0), tf.zeros([])),
                parallel_iterations=1,
            )

        def run():
            # Read, so that it is done. Of the NLL in float32, as that is.
            with float32_products() if self.forward_only else contextlib.nullcontext():
                steps(tf.constant(count))[1].numpy()

        return run

    def weights(self) -> list[np.ndarray]:
        return []


if __name__ == "__main__":
    serve({"fit": Fit, "pipeline": Pipeline, "recipe": Recipe, "nll": NLL, "products": Products})
