"""What the estimators of tables share: from an array or a DataFrame to a trained model, under scikit-learn's rules."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data
from tqdm import tqdm

from keras_iwae.evaluation import Conditional, conditional
from keras_iwae.foundation import MARK, check_boolean, check_choice, check_dtype, check_integer, masked_as_nan
from keras_iwae.models import IWAE
from keras_iwae.tables.calibration import scale_factor
from keras_iwae.tables.codes import warn_of_codes
from keras_iwae.tables.coding import Coding
from keras_iwae.tables.fitting import Fitting
from keras_iwae.tables.schema import Column, Schema, check_names
from keras_iwae.tables.values import refusal

# Seeds are int32, from 0 on.
_SEEDS = 2**31 - 1


class TableEstimator(BaseEstimator):
    """A model of the rows of a table, and how it is made; see `IWAEImputer` and `IWAEDensity`.

    Attributes:
        proposal: what a row's importance samples are drawn from; see `keras_iwae.evaluation.conditional`.
    """

    proposal: str = "amortized"

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
        random_state: Any = None,
        missingness: str | None = None,
        verbose: bool = False,
    ):
        self.columns = columns
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.training_samples = training_samples
        self.balanced = balanced
        self.max_steps = max_steps
        self.num_samples = num_samples
        self.random_state = random_state
        self.missingness = missingness
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None):
        """Learn the columns of a table and a model of its rows.

        Args:
            X: array of numbers or DataFrame `[N, D]`, NaN, or whatever pandas takes for missing, where a cell is not
                known; of a masked array what the mask leaves out.
            y: ignored, as everywhere in scikit-learn where there is nothing to predict.

        Returns:
            itself.

        Raises:
            ValueError: which names the column, if one cannot be learned from, or the argument that is out of range.
        """
        self.check_settings()
        seed = seed_of(self.random_state)
        frame = self._frame(X, reset=True)
        schema = Schema.infer(frame, self._given(X, frame))
        coding = Coding.fit(frame, schema)
        encoded = coding.encode(frame)
        warn_of_codes(frame, self.columns or {})

        fitting = Fitting(
            coding,
            encoded,
            self.latent_dim,
            self.hidden,
            self.training_samples,
            self.balanced,
            self.max_steps,
            seed,
            self.verbose,
            self.missingness is not None,
        )
        self.scale_factor_ = 1.0
        # Cells that are taken out at random would be taken for some that went missing by their own values.
        if self.missingness is None:
            self.scale_factor_ = scale_factor(fitting.model, fitting.train, encoded, _scaled(coding), seed)
        self.history_, self.model_ = fitting.train(encoded), fitting.model
        if self.model_.generative.likelihood.widened:
            self.model_.generative.likelihood.widen(self.scale_factor_)
        self.coding_, self.seed_, self._gives_frames = coding, seed, _is_frame(X)
        return self

    def check_settings(self) -> None:
        """Refuse what the constructor took and cannot be; under scikit-learn's rules that is said at `fit`.

        Raises:
            ValueError: which names the argument.
        """
        if not isinstance(self.columns, (Mapping, type(None))):
            raise ValueError(f"{MARK}columns`. Expected a dictionary of kinds by name. Received: {self.columns!r}")
        for name in ("latent_dim", "training_samples", "max_steps", "num_samples"):
            check_integer(name, getattr(self, name))
        if not isinstance(self.hidden, (tuple, list, np.ndarray)) or np.ndim(self.hidden) == 0 or not len(self.hidden):
            raise ValueError(
                f"{MARK}hidden`. Expected the units of each layer, as (128, 128). Received: {self.hidden!r}"
            )
        for units in self.hidden:
            check_integer("hidden", units)
        for name in ("balanced", "verbose"):
            check_boolean(name, getattr(self, name))
        check_choice("missingness", self.missingness, (None, "self_masking"))

    def _given(self, X: Any, frame: pd.DataFrame) -> dict:
        """What is known of the columns: an array says nothing of levels or counts, so that all of its are real."""
        given = dict(self.columns or {})
        unknown = [name for name in given if name not in frame.columns]
        if unknown:
            raise ValueError(f"{MARK}columns`. Expected names of {list(frame.columns)}. Received: {unknown[0]!r}")
        return given if _is_frame(X) else {name: given.get(name, "real") for name in frame.columns}

    def _frame(self, X: Any, reset: bool = False) -> pd.DataFrame:
        """The table as a DataFrame with the names of the schema; an array's columns are called 0, 1, ..."""
        if _is_frame(X):
            if 0 in X.shape:
                raise ValueError(f"{MARK}X`. Expected rows and columns. Received: a DataFrame of shape {list(X.shape)}")
            check_names(X.columns)
            if len({isinstance(name, str) for name in X.columns}) > 1:
                expected = "names that are all strings, or none of them"
                raise ValueError(f"{MARK}columns`. Expected {expected}. Received: {list(X.columns)}")
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset:
                return X
            names = self.coding_.schema.names
            # Of numbers scikit-learn does not look whether they are the same.
            if self._gives_frames and list(X.columns) != names:
                raise ValueError(f"{MARK}X`. Expected the columns {names}, in this order. Received: {list(X.columns)}")
            return X.set_axis(names, axis=1)
        X = _cells(X)
        if not reset:
            self._check_without_text(X)
        try:
            X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")
        except OverflowError:
            raise ValueError(f"{MARK}X`. Expected numbers that float64 holds. Received: a larger integer") from None
        return pd.DataFrame(X, columns=range(X.shape[1]) if reset else self.coding_.schema.names)

    def _check_without_text(self, X: Any) -> None:
        """Refuse an array, which has numbers alone, where a column was learned that has text."""
        for column in self.coding_.schema:
            if any(isinstance(level, str) for level in column.categories or ()):
                expected = f"a DataFrame, as the column {column.name!r} has levels that are text"
                received = "an array" if isinstance(X, np.ndarray) else f"a {type(X).__name__}"
                raise ValueError(f"{MARK}X`. Expected {expected}. Received: {received}")

    def _conditional(self, encoded: np.ndarray, **options) -> Conditional:
        """`conditional` of encoded rows `[N, D]`, with a progress bar where it was asked for."""
        with tqdm(total=len(encoded), disable=not self.verbose, leave=False, unit=" rows") as bar:
            settings = {"seed": self.seed_, "progress": bar.update, "proposal": self.proposal}
            return conditional(self.model_, encoded, self.num_samples, **settings, **options)

    def __getstate__(self):
        # Graphs and the optimizer are of no use elsewhere.
        state = dict(super().__getstate__())
        if "model_" in state:
            model = state.pop("model_")
            state["_model"] = model.get_config(), model.get_weights()
        return state

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_model", None)
        super().__setstate__(state)
        if saved is not None:
            config, weights = saved
            self.model_ = IWAE.from_config(config)
            self.model_.set_weights(weights)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def seed_of(random_state: Any) -> int:
    """An integer that is a seed here, of what scikit-learn takes for one.

    Raises:
        ValueError: if it is something else.
    """
    # A truth would be the seed 0 or 1.
    wrong = isinstance(random_state, (bool, np.bool_))
    try:
        found = check_random_state(random_state)
    except (TypeError, ValueError):
        wrong = True
    if wrong:
        raise ValueError(
            f"{MARK}random_state`. Expected None, an integer from 0 to {2**32 - 1} or a numpy.random.RandomState. "
            f"Received: {random_state!r}"
        )
    return int(found.randint(_SEEDS))


def _scaled(coding: Coding) -> np.ndarray:
    """Which columns have a scale that is learned, bool `[D]`."""
    real = [column.kind in ("real", "positive") for column in coding.schema]
    return np.array(real) & ~np.array(coding.constant)


def _cells(X: Any) -> Any:
    """What is no DataFrame, with NaN where a mask or pandas says that a cell is missing; what is no table is refused.

    Text is too: an array says of no column that it has levels.
    """
    # Some sparse arrays are mappings too.
    if isinstance(X, (Mapping, str)) and not hasattr(X, "shape"):
        expected = "an array or a DataFrame, as pd.DataFrame(X) or pd.read_csv(X) makes one"
        raise ValueError(f"{MARK}X`. Expected {expected}. Received: a {type(X).__name__}")
    if isinstance(X, pd.Series) or (isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "OUS"):
        expected = "a table, of one row too, as frame.loc[[label]] is one"
        raise ValueError(f"{MARK}X`. Expected {expected}. Received: a {type(X).__name__} of shape {list(X.shape)}")
    # Complex numbers and objects scikit-learn refuses in words of its own, which its checks ask for.
    if isinstance(X, np.ndarray) and X.dtype.kind in "mMV":
        check_dtype(X.dtype, "X")
    X = masked_as_nan(X, "X")
    if isinstance(X, (list, tuple)):
        # Rows of several lengths are refused there too.
        with contextlib.suppress(ValueError):
            X = np.asarray(X, object) if np.asarray(X).dtype.kind in "OUS" else X
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUS":
        for place, cells in enumerate(X.T):
            words = [cell for cell in cells if isinstance(cell, (str, bytes))]
            if words:
                raise refusal(place, "numbers; a DataFrame may have columns of text", f"text ({words[0]!r})")
    if isinstance(X, np.ndarray) and X.dtype == object:
        # Which knows of no pd.NA.
        X = np.where(pd.isna(X), np.nan, X)
    return X


def _is_frame(X: Any) -> bool:
    return isinstance(X, pd.DataFrame)
