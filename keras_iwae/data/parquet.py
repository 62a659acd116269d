"""Parquet files as examples `[N, D]`: a column for each of D entries, or one column of lists of D numbers.

An index of pandas names the rows, and is no entry of them: it would be learned as if it were data.
They are read from front to end alone: a row is stored with its row group, of which all has to be decoded for it.
"""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_iwae.foundation import MARK, check_dtype

_SPLITS = "train", "validation", "test"
# Bytes at a time, where a number has eight: what it takes in the file says nothing of it, for equal ones are one there.
_BLOCK = 2**22
# Of each column; all of a row group would otherwise be read before its first row.
_BUFFER = 2**16


def parquet_files(path: Path) -> dict[str, list[Path]]:
    """The Parquet files of each split in a folder, in order of their names; of a file, or files of no split, "train".

    A file is of the split that its name begins with, in large letters or small, or else of that among its words, as
    "test" in `mnist-test.parquet`, or else of that among the words of the nearest folder. Files and folders whose names
    begin with "." or "_" are left out.

    Raises:
        ValueError: if a folder has files of splits and others beside them, or names of a file and its folders say two
            splits.
    """
    if path.is_file():
        return {"train": [path]} if path.suffix == ".parquet" else {}
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*.parquet")):
        within = file.relative_to(path)
        # What is hidden is nobody's, as parts of a download; nor is what Spark keeps there and calls _NAME.
        # Spark and Dask write a folder `train.parquet` of files.
        if not file.is_dir() and not any(part.startswith((".", "_")) for part in within.parts):
            found.setdefault(_split_of(within), []).append(file)
    others = found.pop("", [])
    if not found:
        return {"train": others} if others else {}
    if others:
        raise ValueError(
            f"{MARK}source`. Expected Parquet files in {path} of {', '.join(_SPLITS)} by their names, or none such. "
            f"Received: {others[0].relative_to(path)} beside some"
        )
    if "train" not in found:
        raise ValueError(f"{MARK}source`. Expected train*.parquet in {path}. Received: {', '.join(found)} alone")
    return {split: found[split] for split in _SPLITS if split in found}


def _split_of(file: Path) -> str:
    """The split that a file's name begins with, or else has, or else the nearest folder's name has; "" for none."""
    folders = [parent.name.lower().removesuffix(".parquet") for parent in file.parents]
    whole = [folder for folder in folders if folder in _SPLITS][:1]
    begun = [split for split in _SPLITS if file.name.lower().startswith(split)]
    for within in (file, *file.parents):
        # A new word may begin with a large letter, too: mnistTest.
        words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", within.name).lower())
        if not (found := begun or [split for split in _SPLITS if split in words]):
            continue
        # Of a file in `train/` that says "test" nobody knows which it is.
        if len({*found, *whole}) > 1:
            raise ValueError(
                f"{MARK}source`. Expected one of {', '.join(_SPLITS)} in the names of a Parquet file and its folders. "
                f"Received: {file}"
            )
        return found[0]
    return ""


def parquet_streams(
    files: dict[str, list[Path]],
) -> dict[str, tuple[int, Callable[[], Iterator[np.ndarray]]]]:
    """Of the files of each split how many rows they have, and what gives them in blocks `[B, D]` of one type.

    They are without the index that pandas wrote. Whole numbers are float64 where an entry of some file is null.

    Raises:
        ValueError: at once or when the block comes, if a file is none of Parquet, its columns are others than the
            first's, or no numbers.
    """
    pyarrow = _pyarrow()
    counts, gaps, first = dict.fromkeys(files, 0), False, None
    for split, file in ((split, file) for split, of_split in files.items() for file in of_split):
        try:
            opened = pyarrow.parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{MARK}source`. Expected a Parquet file. Received: {file} ({error})") from None
        with opened:
            columns = _entries(opened.schema_arrow)
            if not columns:
                raise ValueError(f"{MARK}source`. Expected columns beside an index in {file}. Received: none")
            first = first or (file, columns)
            if columns != first[1]:
                raise ValueError(f"{MARK}source`. Expected in {file} the columns of {first[0]}. Received: {columns}")
            gaps = gaps or _whole_with_gaps(pyarrow, opened, file)
            counts[split] += opened.metadata.num_rows

    def blocks(of_split: list[Path]) -> Iterator[np.ndarray]:
        for file in of_split:
            with pyarrow.parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as opened:
                for batch in _batches(pyarrow, opened, file):
                    if batch.num_rows:
                        rows = _rows(pyarrow, batch, file)
                        yield rows.astype(np.float64) if gaps and rows.dtype.kind in "iu" else rows

    return {split: (counts[split], functools.partial(blocks, of_split)) for split, of_split in files.items()}


def _entries(schema: Any) -> list[str]:
    """The names of columns that are entries of an example."""
    # Where pandas' index is a range, it has a description there in the place of a column's name.
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in schema.names if name not in index]


def _whole_with_gaps(pyarrow: Any, opened: Any, file: Path) -> bool:
    """Whether all entries are whole numbers and some are null, for which these have no number, as floats have."""
    types, schema = pyarrow.types, opened.schema_arrow
    columns = _entries(schema)
    kinds = [kind for name, kind in zip(schema.names, schema.types, strict=True) if name in columns]
    if not all(types.is_integer(kind.value_type if _is_list(types, kind) else kind) for kind in kinds):
        return False
    unsaid = False
    for group in _row_groups(opened):
        for number in range(group.num_columns):
            leaf = group.column(number)
            # Numbers in lists are the leaf `NAME.list.element`.
            if any(f"{leaf.path_in_schema}.".startswith(f"{name}.") for name in columns):
                said = leaf.statistics
                if said is None or not said.has_null_count:
                    unsaid = True
                elif said.null_count:
                    return True
    return unsaid and any(
        column.null_count or (_is_list(types, column.type) and column.flatten().null_count)
        for batch in _batches(pyarrow, opened, file)
        for column in batch.columns
    )


def _row_groups(opened: Any) -> Iterator[Any]:
    return (opened.metadata.row_group(number) for number in range(opened.metadata.num_row_groups))


def _batches(pyarrow: Any, opened: Any, file: Path) -> Iterator[Any]:
    """All rows, some at a time, of the columns that are entries."""
    columns = _entries(opened.schema_arrow)
    # Asked for by name, columns would be in another order where two have one name.
    asked = None if columns == opened.schema_arrow.names else columns
    group = next((group for group in _row_groups(opened) if group.num_rows), None)
    if group is None:
        return
    values = sum(group.column(number).num_values for number in range(group.num_columns))
    size = max(1, _BLOCK * group.num_rows // (8 * values))
    batches = opened.iter_batches(size, columns=asked, use_threads=False)
    while (batch := _following(pyarrow, batches, file)) is not None:
        yield batch


def _following(pyarrow: Any, batches: Iterator, file: Path) -> Any:
    """The next batch, `None` after the last."""
    try:
        return next(batches, None)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{MARK}source`. Expected a Parquet file that is whole. Received: {file} ({error})") from None


def _rows(pyarrow: Any, batch: Any, file: Path) -> np.ndarray:
    types, names = pyarrow.types, batch.schema.names
    lists = [name for name, kind in zip(names, batch.schema.types, strict=True) if _is_list(types, kind)]
    if lists and len(names) > 1:
        raise ValueError(
            f"{MARK}source`. Expected one column of lists in {file}, or columns of numbers. Received: {lists[0]!r} "
            "beside others"
        )
    if not lists:
        columns = [_numbers(column, name, file) for column, name in zip(batch.columns, names, strict=True)]
        return np.stack(columns, axis=1)
    (column,) = batch.columns
    lengths = pyarrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
    if column.null_count or len(set(lengths.tolist())) != 1:
        raise ValueError(
            f"{MARK}source`. Expected lists of one length in column {names[0]!r} of {file}. Received: others"
        )
    return _numbers(column.flatten(), names[0], file).reshape(len(column), -1)


def _is_list(types: Any, kind: Any) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _numbers(column: Any, name: str, file: Path) -> np.ndarray:
    """A column as it is; what is null becomes NaN, of float64."""
    values = column.to_numpy(zero_copy_only=False)
    if column.null_count and values.dtype == object:
        values = np.array([np.nan if value is None else value for value in values])
    try:
        check_dtype(values.dtype, "source")
    except ValueError as error:
        raise ValueError(f"{error} in column {name!r} of {file}") from None
    return values


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            f"{MARK}source`. Expected pyarrow beside Parquet files: pip install 'keras-iwae[parquet]'. Received: none"
        ) from None
    return pyarrow
