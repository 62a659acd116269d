"""Several filled-in tables: what an analysis of each says together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_iwae.foundation import MARK
from keras_iwae.tables.pooling import Pooled, pool
from keras_iwae.tables.trust import RowTrust


@dataclass(frozen=True)
class Imputations:
    """m tables, each with the missing cells as a draw of the model; what was observed is the same in all of them.

    Attributes:
        tables: as the table that was given, arrays or DataFrames.
        rows: how much the weights of each row say.
        filled: the table with conditional means and most probable levels, as `transform` gives it.
    """

    tables: Sequence[Any]
    rows: RowTrust
    filled: Any

    def __len__(self) -> int:
        return len(self.tables)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tables)

    def __getitem__(self, index: int) -> Any:
        return self.tables[index]

    def pool(self, analysis: Callable[[Any], tuple[Any, Any]], complete_degrees_of_freedom: float = np.inf) -> Pooled:
        """What an analysis says of the table, with the uncertainty of what was missing.

        Args:
            analysis: from a table to its estimate and the squared standard error of it, numbers or arrays; those
                of pandas are pooled by their labels.
            complete_degrees_of_freedom: see `pool`.

        Raises:
            ValueError: if it gives something else, or as `pool`.

        Example:
            >>> imputations = IWAEImputer(random_state=0).fit(table).impute(table, num_imputations=20)
            >>> pooled = imputations.pool(lambda table: (table["age"].mean(), table["age"].var() / len(table)))
            >>> print(pooled.estimate, pooled.interval(0.95))
        """
        if not callable(analysis):
            raise ValueError(f"{MARK}analysis`. Expected a function of a table. Received: {analysis!r:.80}")
        # Of its own, for an analysis may write into it.
        found = [analysis(table.copy()) for table in self.tables]
        for each in found:
            if not isinstance(each, (tuple, list)) or len(each) != 2:
                raise ValueError(
                    f"{MARK}analysis`. Expected a function from a table to (estimates, variances), the squares of "
                    f"their standard errors. Received: one that gives {each!r:.80}"
                )
        return pool([each[0] for each in found], [each[1] for each in found], complete_degrees_of_freedom)
