r"""Missing cells of a table, filled in once by their conditional means, or several times by draws."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from keras_iwae.evaluation import Conditional
from keras_iwae.foundation import MARK, check_integer
from keras_iwae.tables.dtypes import holding
from keras_iwae.tables.estimator import TableEstimator
from keras_iwae.tables.imputations import Imputations
from keras_iwae.tables.trust import RowTrust
from keras_iwae.tables.values import plain_text


class IWAEImputer(OneToOneFeatureMixin, TransformerMixin, TableEstimator):
    r"""Missing cells under a deep latent variable model of the rows, $p(x) = \int p(z) \prod_j p(x_j|z) dz$.

    The model learns from incomplete rows, by the bound $L_K$ of what was observed of each. `transform` fills a cell
    with $E[x_j|x_{obs}] \approx \sum_k w_k E[x_j|z_k] / \sum_k w_k$, and one that has levels with the most probable;
    `impute` fills in several tables with draws of $p(x_{mis}|x_{obs})$, whose spread says what is not known. The same
    row is filled in alike whichever rows come with it.

    A positive column is log-normal given z, and `transform` fills it with $\exp E[\log x_j|x_{obs}]$, which is near its
    median and below its mean: $E[x_j|x_{obs}]$ has $\exp(\sigma^2/2)$ of a scale that is learned, so that one wide row
    could have any size. Sums and averages of such a column are for `impute`, whose draws have the right mean.

    Args:
        columns: of some columns by name, of an array by number, what they are: "real", "positive", "count", "binary",
            "categorical", "ordinal", "ordinal(low<mid<high)" or a `Column`. What a DataFrame's others are is inferred;
            an array's are real.
        latent_dim: latent units.
        hidden: units of the encoder's layers; the decoder's are the same in reverse.
        training_samples: K of a training step.
        balanced: whether training hears all columns alike, where a real one is otherwise worth several binary ones.
            What `history_` holds is then a bound of weighted columns, `weighted_bound`, and none of log p(x);
            everything that is found out after training is of p(x) itself.
        max_steps: the most steps of training; a small table has fewer, for 300 passes over it.
        num_samples: K, importance samples of a row that is filled in.
        random_state: seed of all that is random; the same integer gives the same model and cells, but for rounding.
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
        >>> imputer = IWAEImputer(random_state=0).fit(table)
        >>> filled = imputer.transform(table)
        >>> imputations = imputer.impute(table, num_imputations=20)
        >>> print(imputations.rows)

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets.
        Ipsen, Mattei, Frellsen (2021), not-MIWAE: deep generative modelling with missing not at random data.
    """

    def transform(self, X: Any) -> Any:
        """The table with its missing cells filled in, an array of an array and a DataFrame of a DataFrame.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.

        Raises:
            ValueError: which names the column, if there are values that it cannot have, or infinity.
        """
        return self.impute(X, 0).filled

    def impute(self, X: Any, num_imputations: int = 20, first: int = 0) -> Imputations:
        """Several tables with their missing cells filled in by draws, and how much the weights of each row say.

        All missing cells of a row come of one draw of z, chosen with probability proportional to its importance weight.
        Equal rows have draws of their own.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.
            num_imputations: m, how many tables; 0 for the one with conditional means alone, which is always there.
            first: the place of the first row, from 0, in a larger table that is filled in part by part: equal rows of
                other parts have draws of their own then, too.

        Returns:
            `Imputations`.

        Raises:
            ValueError: if `num_imputations` or `first` is below 0, or as `transform`.
        """
        check_is_fitted(self)
        num_imputations = check_integer("num_imputations", num_imputations, at_least=0)
        first = check_integer("first", first, at_least=0)
        frame = self._frame(X)
        encoded = self.coding_.encode(frame)
        missing = np.isnan(encoded)
        gaps = missing.any(axis=1)
        found = self._conditional(encoded[gaps], num_draws=num_imputations, first=first) if gaps.any() else None
        each = [] if found is None else [self._single(found), *map(self._with_constants, found.draws)]
        tables = []
        for number in range(num_imputations + 1):
            filled = encoded.copy()
            if found is not None:
                filled[gaps] = each[number]
            tables.append(self._as_given(X, self.coding_.fill(frame, filled)))
        return Imputations(tables[1:], self._trust(missing, found), tables[0])

    def rows(self, X: Any) -> RowTrust:
        """How much the weights of each row that `transform` fills in say; see `RowTrust`.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.
        """
        check_is_fitted(self)
        encoded = self.coding_.encode(self._frame(X))
        missing = np.isnan(encoded)
        gaps = missing.any(axis=1)
        return self._trust(missing, self._conditional(encoded[gaps]) if gaps.any() else None)

    def score_held_out(self, X: Any, values: Any) -> np.ndarray:
        r"""log p(x_j | x_obs) of values that are known but were left out of a table: how good the filling in is.

        $\log \sum_k w_k p(x_j|z_k) / \sum_k w_k$ of each cell by itself, in the units of the table; not only the middle
        of what is filled in counts, as in a squared error, but also whether its spread is right.

        Args:
            X: array or DataFrame `[N, D]` with the columns that were learned.
            values: the same rows, in the same order, with the cells that were left out, and anything or nothing
                elsewhere.

        Returns:
            nats, float64 `[N, D]`; NaN where a cell of `X` is observed, or `values` has none.

        Raises:
            ValueError: if `values` has other rows, by number or, of two DataFrames, by index, or as `transform`.
        """
        check_is_fitted(self)
        encoded = self.coding_.encode(self._frame(X))
        held_out = self.coding_.encode(self._held_out(values))
        if held_out.shape != encoded.shape:
            raise ValueError(f"{MARK}values`. Expected shape {list(encoded.shape)}. Received: {list(held_out.shape)}")
        if isinstance(X, pd.DataFrame) and isinstance(values, pd.DataFrame) and not X.index.equals(values.index):
            pairs = enumerate(zip(X.index, values.index, strict=True))
            place = next((n for n, (one, other) in pairs if one != other), 0)
            raise ValueError(
                f"{MARK}values`. Expected the index of `X`, as values.loc[X.index] has it. Received: "
                f"{plain_text(values.index[place])} in the place of {plain_text(X.index[place])}"
            )
        held_out[~np.isnan(encoded)] = np.nan
        scores = np.full(encoded.shape, np.nan)
        rows = ~np.isnan(held_out).all(axis=1)
        if rows.any():
            found = self._conditional(encoded[rows], values=held_out[rows]).log_density
            scores[rows] = found + self.coding_.log_jacobian(held_out[rows])
        return scores

    def _held_out(self, values: Any) -> pd.DataFrame:
        """As `_frame`, of what the caller knows as `values`."""
        names = self.coding_.schema.names
        if isinstance(values, pd.DataFrame) and self._gives_frames and list(values.columns) != names:
            expected = f"the columns of `X`, {names}, in this order"
            raise ValueError(f"{MARK}values`. Expected {expected}. Received: {list(values.columns)}")
        try:
            return self._frame(values)
        except (TypeError, ValueError) as error:
            if str(error).startswith(MARK):
                raise ValueError(str(error).replace(f"{MARK}X`", f"{MARK}values`")) from None
            # In words of scikit-learn, which know of X alone.
            why = " ".join(str(error).split())
            raise ValueError(f"{MARK}values`. Expected a table like `X`. Received: {values!r:.80}: {why}") from None

    def _trust(self, missing: np.ndarray, found: Conditional | None) -> RowTrust:
        # Of what was fitted, and not of what is to be fitted next.
        return RowTrust.of(missing, found, self.model_.generative.missingness is not None)

    def _single(self, found: Conditional) -> np.ndarray:
        """Means, and places of the most probable levels, `[N, D]`."""
        filled = found.mean.copy()
        for place, probabilities in found.probabilities.items():
            filled[:, place] = probabilities.argmax(axis=-1)
        return self._with_constants(filled)

    def _with_constants(self, filled: np.ndarray) -> np.ndarray:
        """Where a column had one value only, it is what is filled in."""
        return np.where(self.coding_.constant, 0.0, filled)

    def _as_given(self, X: Any, frame: pd.DataFrame) -> Any:
        if isinstance(X, pd.DataFrame):
            return frame.set_axis(X.columns, axis=1)
        cells = frame.to_numpy(np.float64)
        return cells.astype(holding(np.dtype(np.float32), cells)) if getattr(X, "dtype", None) == np.float32 else cells

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
