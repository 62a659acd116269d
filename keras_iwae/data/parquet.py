"""Parquet files as examples `[N, D]`: a column for each of D entries, or one column of lists of D numbers.

An index of pandas names the rows, and is no entry of them: it would be learned as if it were data.
They are read from front to end alone: a row is stored with its row group, of which all has to be decoded for it.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_iwae.foundation import MARK, check_dtype

_SPLITS = "train", "validation", "test"
_ROWS = 4096
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


def parquet_stream(files: list[Path]) -> tuple[int, Callable[[], Iterator[np.ndarray]]]:
    """How many rows some files have, and what gives them in blocks `[B, D]`, without the index that pandas wrote.

    Raises:
        ValueError: at once or when the block comes, if a file is none of Parquet, its columns are others than the
            first's, or no numbers.
    """
    pyarrow = _pyarrow()
    count, first = 0, None
    for file in files:
        try:
            opened = pyarrow.parquet.ParquetFile(file)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{MARK}source`. Expected a Parquet file. Received: {file} ({error})") from None
        columns = _entries(opened.schema_arrow)
        if not columns:
            raise ValueError(f"{MARK}source`. Expected columns beside an index in {file}. Received: none")
        first = first or columns
        if columns != first:
            raise ValueError(f"{MARK}source`. Expected in {file} the columns of {files[0]}. Received: {columns}")
        count += opened.metadata.num_rows
        opened.close()

    def blocks() -> Iterator[np.ndarray]:
        for file in files:
            with pyarrow.parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as opened:
                schema = opened.schema_arrow
                columns = _entries(schema)
                # Asked for by name, columns would be in another order where two have one name.
                asked = None if columns == schema.names else columns
                batches = opened.iter_batches(_ROWS, columns=asked, use_threads=False)
                while (batch := _following(pyarrow, batches, file)) is not None:
                    if batch.num_rows:
                        yield _rows(pyarrow, batch, file)

    return count, blocks


def _entries(schema: Any) -> list[str]:
    """The names of columns that are entries of an example."""
    # Where pandas' index is a range, it has a description there in the place of a column's name.
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in schema.names if name not in index]


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
