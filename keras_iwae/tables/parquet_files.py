"""A Parquet file as a table: read in chunks, written with the types that it has, or wider ones for larger numbers."""

import decimal
import functools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK, replacing
from keras_iwae.tables.codes import Codes
from keras_iwae.tables.dtypes import holding, numpy_dtype
from keras_iwae.tables.facts import MOST, MOST_SAID, Facts
from keras_iwae.tables.kinds import Kind, kind_name, says_levels
from keras_iwae.tables.values import check_type, numbers, refusal

# That float64 tells apart, whichever they are.
_SURE_DIGITS = 15
# Of decimals in 128 bits.
_DIGITS = 38


class ParquetTable:
    """A Parquet file.

    Args:
        path: the file.
        ignore: names of columns that are carried along and not looked at.
        kinds: what some columns are, by name; booleans that are to be numbers are 0 and 1, and written as such.

    Attributes:
        names: of the columns that are looked at.
        carried: of those that are pandas' index and have no gaps, and so not looked at where no kind of them is said.
        facts: of each of these, what all of its cells have in common.
        num_rows: how many rows there are.

    Raises:
        ValueError: if it is no Parquet file, or there is nothing to read such files with.
    """

    def __init__(self, path: Path, ignore: Collection[str] = (), kinds: Mapping[str, Kind] | None = None):
        self._pyarrow = _pyarrow(path)
        self.path = path
        try:
            file = self._pyarrow.parquet.ParquetFile(path)
        except (self._pyarrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{MARK}{path}`. Expected a Parquet file. Received: {error}") from None
        self._schema, self.num_rows = file.schema_arrow, file.metadata.num_rows
        header = self._schema.names
        for name in header:
            if header.count(name) > 1:
                raise ValueError(f"{MARK}{path}`. Expected names that all differ. Received: {name!r} twice")
        for name in ignore:
            if name not in header:
                raise ValueError(f"{MARK}ignore`. Expected names of {header}. Received: {name!r}")
        if not self.num_rows:
            raise ValueError(f"{MARK}{path}`. Expected rows. Received: none")
        index = (self._schema.pandas_metadata or {}).get("index_columns", [])
        rows = [name for name in header if name in index and name not in {*ignore, *(kinds or {})}]
        self.carried = [name for name in rows if not self._has_gaps(name)]
        self.names = [name for name in header if name not in {*ignore, *self.carried}]
        numeric = {name for name, kind in (kinds or {}).items() if kind_name(kind) in ("real", "positive", "count")}
        flags = (field.name for field in self._schema if self._pyarrow.types.is_boolean(field.type))
        self._flags = numeric.intersection(flags)
        for name in self.names:
            own, levelled = self._schema.field(name).type, says_levels((kinds or {}).get(name))
            if levelled and self._pyarrow.types.is_decimal(own) and own.precision > _SURE_DIGITS:
                expected = f"levels of at most {_SURE_DIGITS} digits, or the column as text or whole numbers"
                raise refusal(name, expected, str(own))
        said = {name: MOST_SAID if says_levels(kind) else MOST for name, kind in (kinds or {}).items()}
        self.facts = {name: Facts(most=said.get(name, MOST)) for name in self.names}
        self._codes = {name: Codes() for name in self.names if not says_levels((kinds or {}).get(name))}
        seen = 0
        for _, frame in self.chunks(10_000):
            for name in self.names:
                cells = frame[name].dropna().reset_index(drop=True)
                number = not self.is_text(name) and check_type(cells, name) == "number"
                found = numbers(cells, name) if number else np.full(len(cells), np.nan)
                self.facts[name].update(cells, pd.Series(found), seen)
                if number and name in self._codes:
                    self._codes[name].update(pd.Series(found))
            seen += len(frame)

    def _has_gaps(self, name: str) -> bool:
        batches = self._pyarrow.parquet.ParquetFile(self.path).iter_batches(columns=[name])
        while (batch := self._following(batches)) is not None:
            if self._pyarrow.compute.any(batch.column(0).is_null(nan_is_null=True)).as_py():
                return True
        return False

    def levels(self, name: str) -> list | None:
        """The different values of a column, in order; `None` where there are many."""
        found = self.facts[name].distinct
        return None if found is None else sorted(found)

    def code(self, name: str) -> tuple[float, int] | None:
        """A number that may stand for what is not known, as `Codes.likely`, where it is no column of levels."""
        return self._codes[name].likely if name in self._codes else None

    def is_text(self, name: str) -> bool:
        """Whether a column is of text."""
        types, kind = self._pyarrow.types, self._schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def is_boolean(self, name: str) -> bool:
        """Whether a column is read as booleans."""
        return name not in self._flags and self._pyarrow.types.is_boolean(self._schema.field(name).type)

    def chunks(self, size: int) -> Iterator[tuple[Any, pd.DataFrame]]:
        """All columns as Arrow has them, and those that are looked at as values, `size` rows at a time."""
        kinds = self._pyarrow.types
        nullable = {
            getattr(self._pyarrow, f"{sign}int{bits}")(): getattr(pd, f"{sign.upper()}Int{bits}Dtype")()
            for sign in ("", "u")
            for bits in (8, 16, 32, 64)
        } | {self._pyarrow.bool_(): pd.BooleanDtype()}
        batches = self._pyarrow.parquet.ParquetFile(self.path).iter_batches(batch_size=size)
        while (batch := self._following(batches)) is not None:
            table = self._pyarrow.Table.from_batches([batch])
            frame = table.select(self.names).to_pandas(types_mapper=nullable.get, ignore_metadata=True)
            for field in table.schema:
                if field.name in frame and kinds.is_decimal(field.type):
                    frame[field.name] = frame[field.name].astype(float)
                if field.name in self._flags and field.name in frame:
                    frame[field.name] = frame[field.name].astype("Float64")
            yield table, frame

    def _following(self, batches: Iterator) -> Any:
        """The next batch, `None` after the last."""
        try:
            return next(batches, None)
        except (self._pyarrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{MARK}{self.path}`. Expected a Parquet file that is whole. Received: {error}") from None

    def write_part(self, path: Path, table: Any, filled: pd.DataFrame) -> None:
        """Write rows with their gaps filled in, in the types of the file but for numbers that they do not hold.

        Args:
            path: the file.
            table: all columns as Arrow has them.
            filled: those that are looked at, as values; taken where there is nothing in the table.
        """
        compute = self._pyarrow.compute
        for place, field in enumerate(table.schema):
            own = table.column(place).combine_chunks()
            if field.name in self._flags:
                # In every part, for a column has one type.
                field = field.with_type(self._pyarrow.float64())
                own = own.cast(field.type)
                table = table.set_column(place, field, own)
            gap = own.is_null(nan_is_null=True)
            if field.name not in filled or not compute.any(gap).as_py():
                continue
            encoded = self._pyarrow.types.is_dictionary(field.type)
            plain = own.dictionary_decode() if encoded else own
            if self._pyarrow.types.is_string_view(plain.type):
                # As Polars writes text, of which Arrow chooses none.
                plain = plain.cast(self._pyarrow.large_string())
            values = filled[field.name].astype(object).where(gap.to_numpy(zero_copy_only=False), None)
            floats = self._pyarrow.types.is_floating(plain.type)
            # Numbers as levels may be of any type in the table.
            if self._pyarrow.types.is_integer(plain.type) or (
                floats and pd.api.types.is_float_dtype(filled[field.name].dtype)
            ):
                wide = self._pyarrow.from_numpy_dtype(numpy_dtype(filled[field.name].dtype))
                plain, field = plain.cast(wide), field.with_type(wide)
            if self._pyarrow.types.is_decimal(plain.type):
                scale, positive = plain.type.scale, self.facts[field.name].low > 0.0
                values = values.map(functools.partial(_decimal, scale=scale, positive=positive), na_action="ignore")
                wide = self._wide_decimal(plain.type, values.dropna())
                plain, field = plain.cast(wide), field.with_type(wide)
            new = self._pyarrow.array(values.tolist()).cast(plain.type, safe=False)
            merged = compute.if_else(gap, new, plain)
            table = table.set_column(
                place, field, self._encoded(merged, own, field.type) if encoded else merged.cast(field.type)
            )
        self._pyarrow.parquet.write_table(table, path)

    def _wide_decimal(self, own: Any, values: Iterable[decimal.Decimal]) -> Any:
        """The type of decimals of as many digits as these take; one that is too narrow makes others of them."""
        digits = max([own.precision, *(len(value.as_tuple().digits) for value in values)])
        kind = self._pyarrow.decimal128 if digits <= _DIGITS else self._pyarrow.decimal256
        return kind(digits, own.scale)

    def _encoded(self, values: Any, own: Any, kind: Any) -> Any:
        """Values by the categories that a column has, in their order."""
        known = own.dictionary
        further = [
            value for value in values.unique().to_pylist() if value is not None and value not in known.to_pylist()
        ]
        categories = self._pyarrow.concat_arrays([known, self._pyarrow.array(further, known.type)])
        places = self._pyarrow.compute.index_in(values, value_set=categories).cast(kind.index_type)
        return self._pyarrow.DictionaryArray.from_arrays(places, categories, ordered=kind.ordered)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Put parts together, whole or not at all."""
        parquet = self._pyarrow.parquet
        before = self._schema
        for name in self._flags:
            place = before.get_field_index(name)
            before = before.set(place, before.field(place).with_type(self._pyarrow.float64()))
        schemas = [parquet.read_schema(part).remove_metadata() for part in parts]
        found = self._pyarrow.unify_schemas([before, *schemas], promote_options="permissive")
        schema = found.with_metadata(_described(self._schema, found))
        with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part).cast(found).replace_schema_metadata(schema.metadata))


def names_in(path: Path) -> list[str] | None:
    """Names of the columns of a Parquet file; `None` where it is none."""
    pyarrow = _pyarrow(path)
    try:
        return pyarrow.parquet.read_schema(path).names
    except (pyarrow.ArrowInvalid, OSError):
        return None


def _decimal(value: float, scale: int, positive: bool) -> decimal.Decimal:
    """A number with so many digits behind the mark; where it is `positive`, one above 0 is not rounded to 0."""
    if positive and value > 0.0:
        value = max(value, 10.0**-scale)
    return decimal.Decimal(f"{value:.{scale}f}")


def _described(before: Any, after: Any) -> dict | None:
    """What a schema's metadata say, with pandas' names of the types that became wider."""
    metadata = dict(before.metadata or {})
    if b"pandas" in metadata:
        said = json.loads(metadata[b"pandas"])
        for column in said["columns"]:
            name = column["field_name"]
            if name in before.names and before.field(name).type != (kind := after.field(name).type):
                if column["pandas_type"] == "decimal":
                    column["metadata"] = {"precision": kind.precision, "scale": kind.scale}
                    continue
                column["pandas_type"] = str(kind)
                wide = np.dtype(kind.to_pandas_dtype())
                ends = [np.iinfo(wide).min, np.iinfo(wide).max] if wide.kind in "iu" else [np.finfo(wide).max]
                own = pd.api.types.pandas_dtype(column["numpy_type"])
                # Of booleans, numbers.
                column["numpy_type"] = str(wide if pd.api.types.is_bool_dtype(own) else holding(own, ends))
        metadata[b"pandas"] = json.dumps(said).encode()
    return metadata or None


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            f"{MARK}{path}`. Expected pyarrow beside a Parquet file: pip install 'keras-iwae[parquet]'. Received: none"
        ) from None
    return pyarrow
