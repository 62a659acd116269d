"""log p(x) of the rows of a table as a score, and which cell of a row is odd."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from keras_iwae.evaluation import Proposal
from keras_iwae.foundation import check_integer
from keras_iwae.tables.estimator import TableEstimator, seed_of
from keras_iwae.tables.schema import Column

# Rows with one cell left out, of one call: what is kept of them is all that memory grows with.
_TOGETHER = 4096


class IWAEDensity(DensityMixin, TableEstimator):
    r"""log p(x) of rows under a deep latent variable model, of incomplete ones log p(x_obs).

    $\log p(x_{obs}) \ge L_K = \log \frac{1}{K} \sum_k p(x_{obs}|z_k) p(z_k) / q(z_k|x_{obs})$ in nats, a lower bound in
    expectation, of a density in the units of the table where columns are real or positive. What a row says by itself is
    compared with other rows only where the same cells were observed: a density of more cells is another quantity.

    Args:
        columns: as for `IWAEImputer`.
        latent_dim: latent units.
        hidden: units of the encoder's layers; the decoder's are the same in reverse.
        training_samples: K of a training step.
        balanced: whether training hears all columns alike, where a real one is otherwise worth several binary ones.
            What `history_` holds is then a bound of weighted columns, `weighted_bound`, and none of log p(x);
            everything that is found out after training is of p(x) itself.
        max_steps: the most steps of training; a small table has fewer, for 300 passes over it.
        num_samples: K, importance samples of a row that is scored.
        proposal: what these are drawn from: "amortized", q(z|x_obs), which from 200 samples on a quarter as many draws
            beforehand move and widen; "refined", fitted to each row's own p(z|x_obs) at its modes; "adapted", from
            there by slopes. Fitted to draws of its own, so that L_K stays a lower bound whichever it is. It has no part
            in training, and may be set anew on what was fitted.
        random_state: seed of all that is random; the same integer gives the same model and scores, but for rounding.
        missingness: "self_masking" where a cell may be missing because of its own value, as large incomes are: each
            column with gaps goes missing by a logistic of its value, which is learned with the rest. Real columns are
            then Gaussian given z, and counts with gaps are refused. `None` takes gaps to say nothing of what they hide.
        verbose: whether to show progress.

    Attributes:
        coding_: `Coding`, with the `Schema` of the columns.
        model_: the `IWAE`.
        scale_factor_: by what the scales of real and positive columns are wider than the decoder has them, from 1 on: a
            model of few rows is too sure of itself, which cells that it was not trained on say; 1 beside `missingness`.
        history_: bounds by steps of training, a dictionary each.
        n_features_in_: D.
        feature_names_in_: names of the columns, where they are all strings.

    Example:
        >>> density = IWAEDensity(random_state=0).fit(table)
        >>> odd_rows = density.score_samples(table).argsort()[:10]
        >>> density.score_cells(table.iloc[odd_rows])

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equation 8.
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, equation 4.
        Ipsen, Mattei, Frellsen (2021), not-MIWAE: deep generative modelling with missing not at random data.
        Owen, Zhou (2000), Safe and effective importance sampling, on proposals that are mixtures.
    """

    # Each by its name, for scikit-learn reads them here.
    def __init__(
        self,
        *,
        columns: Mapping[Any, str | Column] | None = None,
        latent_dim: int = 10,
        hidden: Sequence[int] = (128, 128),
        training_samples: int = 20,
        balanced: bool = False,
        max_steps: int = 6000,
        num_samples: int = 1000,
        proposal: str = "amortized",
        random_state: Any = None,
        missingness: str | None = None,
        verbose: bool = False,
    ):
        super().__init__(
            columns=columns,
            latent_dim=latent_dim,
            hidden=hidden,
            training_samples=training_samples,
            balanced=balanced,
            max_steps=max_steps,
            num_samples=num_samples,
            random_state=random_state,
            missingness=missingness,
            verbose=verbose,
        )
        self.proposal = proposal

    def check_settings(self) -> None:
        """As of every estimator, and of `proposal`."""
        super().check_settings()
        Proposal(kind=self.proposal)

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(x_obs) of each row in nats, float64 `[N]`; 0 where nothing was observed.

        With a `missingness` it is log p(x_obs, s), of which cells are missing as well; then gaps too may be odd.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.

        Raises:
            ValueError: which names the column, if there are values that it cannot have, or infinity.
        """
        check_is_fitted(self)
        encoded = self.coding_.encode(self._frame(X))
        jacobian = self.coding_.log_jacobian(encoded).sum(axis=1)
        return self._conditional(encoded).log_likelihood + jacobian

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples` over rows, in nats.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.
            y: ignored.
        """
        return float(self.score_samples(X).mean())

    def score_cells(self, X: Any) -> Any:
        r"""log p(x_j | the other observed cells) of each observed cell in nats: which cell of a row is odd.

        For each cell the row without it is encoded anew, so that z is drawn from what the other cells say,
        $\log \sum_k w_k p(x_j|z_k) / \sum_k w_k$ with the weights of the row without it. That is as much work for each
        cell as a row is otherwise. A density depends on the unit of its column: cells of different columns are compared
        by how far each is below what is usual in its column.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.

        Returns:
            float64 `[N, D]`, NaN where a cell is missing; a DataFrame of a DataFrame.

        Raises:
            ValueError: with a `missingness`.
        """
        check_is_fitted(self)
        # Of what was fitted, and not of what is to be fitted next.
        if self.model_.generative.missingness is not None:
            raise ValueError(
                "Invalid call of `score_cells`. Expected a model with missingness=None: a cell that is left out would "
                "count as one that went missing. Received: one that was fitted with 'self_masking'; use score_samples"
            )
        encoded = self.coding_.encode(self._frame(X))
        scores = self.coding_.log_jacobian(encoded)
        rows, columns = np.nonzero(~np.isnan(encoded))
        for begin in range(0, len(rows), _TOGETHER):
            row, column = (places[begin : begin + _TOGETHER] for places in (rows, columns))
            left_out, values = encoded[row], np.full((len(row), encoded.shape[1]), np.nan, np.float32)
            each = np.arange(len(row))
            values[each, column], left_out[each, column] = encoded[row, column], np.nan
            scores[row, column] += self._conditional(left_out, values=values).log_density[each, column]
        scores[np.isnan(encoded)] = np.nan
        if isinstance(X, pd.DataFrame):
            return pd.DataFrame(scores, X.index, X.columns)
        return scores

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the model, an array if it was fitted to one and a DataFrame if it was fitted to one.

        Args:
            n_samples: how many.
            random_state: seed; `None` draws others at every call.

        Raises:
            ValueError: if either is none.
        """
        check_is_fitted(self)
        n_samples = check_integer("n_samples", n_samples)
        encoded = self.model_.sample(n_samples, seed_of(random_state)).events.numpy()
        frame = self.coding_.decode(np.where(self.coding_.constant, 0.0, encoded))
        return frame if self._gives_frames else frame.to_numpy(np.float64)
