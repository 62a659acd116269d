"""What a model is given of its training examples: the mean that its output starts from, and pseudo-inputs."""

from typing import Any

import numpy as np

from keras_iwae.foundation import MARK, check_seed
from keras_iwae.models.generative import GenerativeModel
from keras_iwae.models.output_bias import start_from
from keras_iwae.models.stream import StreamingModel
from keras_iwae.priors import VampPrior


class StartingModel(StreamingModel):
    """A model that can start from what its training examples are."""

    generative: GenerativeModel

    def initialize_output_bias(self, mean_image: np.ndarray) -> None:
        r"""Let the decoder start from the mean of the training examples; for pixels, a bias of $\log \frac{m}{1 - m}$.

        Args:
            mean_image: mean of each entry over the training examples, of shape `event_shape`; clipped to
                [0.001, 0.999] for a Bernoulli likelihood.

        Raises:
            ValueError: if the shape is another, a mean lies outside the range of the values, or if a decoder that gives
                the parameters itself has as its last trainable weight no bias of their size that nothing follows.

        Example:
            >>> model = IWAE((8, 8, 1))
            >>> model.initialize_output_bias(keras_iwae.data.mean_image("digits"))

        References:
            The IWAE paper's released code; the paper gives the networks only.
        """
        start_from(self.generative, mean_image)

    def initialize_pseudo_inputs(self, examples: np.ndarray, seed: int = 0) -> None:
        """Let the pseudo-inputs of a `VampPrior` start as some of the training examples, drawn without replacement.

        Args:
            examples: `[N, *event_shape]`, at least as many without gaps as there are pseudo-inputs; images that are
                binarized anew in every epoch as their grey levels in [0, 1].
            seed: seed of the draw.

        Raises:
            ValueError: if the prior is another, or the examples are too few or none of the model's.

        Example:
            >>> model = IWAE((8, 8, 1), prior="vamp")
            >>> model.initialize_pseudo_inputs(keras_iwae.data.images("digits", "train") / 255.0)
        """
        self._vamp_prior().start_from(self.door.array(examples, "examples"), check_seed("seed", seed))

    def restart_unused_pseudo_inputs(self, examples: np.ndarray, seed: int = 0) -> int:
        r"""Let those pseudo-inputs of a `VampPrior` that no example needs begin anew, beside those that hold most.

        $r_m = \sum_n \frac{q(z_n|u_m)}{\sum_j q(z_n|u_j)}$, $z_n \sim q(z|x_n)$, is how many examples a component
        holds. With next to none it has no gradient and stays where it is, for good; there it is a $\frac1M$ of p(z)
        and of what is drawn. One with $r_m$ below 0.01 becomes one of those with the largest, moved by a hundredth of
        each entry's standard deviation, and the two share what that one held. So p(z) falls where no latents are.

        Args:
            examples: training examples, as in `initialize_pseudo_inputs`: all of them, or many times as many as there
                are pseudo-inputs, for what only others hold counts as unused.
            seed: seed of the draws.

        Returns:
            how many of them there were. The averages that an optimizer with `use_ema` keeps of them begin anew, too.

        Raises:
            ValueError: as `initialize_pseudo_inputs`, and for weights that are not finite.

        Example:
            >>> model = IWAE((8, 8, 1), prior="vamp")
            >>> model.restart_unused_pseudo_inputs(keras_iwae.data.images("digits", "train") / 255.0)

        References:
            Linde, Buzo, Gray (1980), An algorithm for vector quantizer design, which splits codes so; restarts of codes
            that hold nothing are in Dhariwal et al. (2020), Jukebox, section 3.1.
        """
        self.check_finite()
        prior = self._vamp_prior()
        restarted = prior.restart_unused(self.door.array(examples, "examples"), check_seed("seed", seed))
        optimizer: Any = getattr(self, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if len(restarted) and getattr(optimizer, "use_ema", False) and optimizer.built:
            # Which of the two is in the model hangs on where a fit is; both are what they were, but for these.
            pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
            # Of frozen ones there is none.
            for average in (mean for weight, mean in pairs if weight is prior.pseudo_inputs):
                values, now = average.numpy(), prior.pseudo_inputs.numpy()
                values[restarted] = now[restarted]
                average.assign(values)
        return len(restarted)

    def _vamp_prior(self) -> VampPrior:
        prior = self.generative.prior
        if not isinstance(prior, VampPrior):
            raise ValueError(f"{MARK}model`. Expected one with the prior 'vamp'. Received: a {type(prior).__name__}")
        return prior
