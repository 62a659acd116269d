"""Two files of the same columns, in which the same text is the same value, or a sentence says why it may not be."""

import os
from collections.abc import Collection, Mapping

from keras_iwae.foundation import MARK
from keras_iwae.tables.csv_files import CsvTable
from keras_iwae.tables.dress import in_place_of
from keras_iwae.tables.files import TableFile, check_seen, opened
from keras_iwae.tables.kinds import Kind
from keras_iwae.tables.parquet_files import ParquetTable
from keras_iwae.tables.values import refusal


def open_pair(
    source: str | os.PathLike,
    train: str | os.PathLike,
    missing: Collection[str] = (),
    ignore: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> tuple[TableFile, TableFile]:
    """The file of a table, and another one that a model of it learns from.

    A column is what it is in the file that is learned from: one of text, or of codes of digits such as 01800, is read
    as text in the other too, and one of numbers has to have them there. Levels that are said go by value beside a
    Parquet file of numbers. Where one is a Parquet file with booleans, True and False in the other are booleans.

    Args:
        source: as for `open_table`.
        train: the file that is learned from.
        missing: texts that stand for a cell that is not known, each of which some cell of either file is.
        ignore: as for `open_table`.
        kinds: as for `open_table`.

    Raises:
        ValueError: as `open_table`, or if the files have other columns, a column is of text where that of the file that
            is learned from is of numbers, or one has numbers such as 1,234 alone, which may be 1234, and the other does
            not say which.
    """
    table = opened(source, missing, ignore, kinds, "source")
    learned = opened(train, missing, ignore, kinds, "train")
    if table.names != learned.names:
        index = sorted({*table.names}.symmetric_difference(learned.names).intersection(table.carried + learned.carried))
        note = f"; ignore {index[0]!r}, which has gaps in one of them and names the rows of the other" if index else ""
        raise ValueError(
            f"{MARK}train`. Expected a file with the columns {table.names}. Received: {learned.names}{note}"
        )
    for name in table.names:
        _read_alike(name, table, learned)
    check_seen(missing, table, learned)
    for one, other in ((table, learned), (learned, table)):
        if isinstance(one, CsvTable) and one.marks.doubt is not None and not _settled(one, other):
            read = "a mark of thousands" if one.dialect.thousands else "a mark of decimals"
            found = f"{one.marks.doubt!r} in {one.path}, read with {read}, and nothing like it in {other.path}"
            raise ValueError(
                f"{MARK}train`. Expected files that say alike what marks decimals and what thousands; write both in "
                f"the same way. Received: {found}"
            )
    return table, learned


def _read_alike(name: str, table: TableFile, learned: TableFile) -> None:
    """Read a column of a table as that of the file that is learned from, or refuse one that cannot be.

    Raises:
        ValueError: which names the column, the file and the cell.
    """
    if isinstance(learned, ParquetTable) and isinstance(table, CsvTable) and not learned.is_text(name):
        # Said to be levels or not, they are numbers there.
        table.read_by_value(name)
    for one, other in ((table, learned), (learned, table)):
        flags = isinstance(one, ParquetTable) and one.is_boolean(name)
        if flags and isinstance(other, CsvTable) and other.is_text(name):
            wrong = other.read_as_booleans(name)
            if wrong is not None and one is learned:
                raise refusal(name, f"True and False, as in {one.path}", f"{wrong!r} in {other.path}")
    if isinstance(learned, CsvTable):
        learned.check(name)
    if learned.is_text(name):
        if isinstance(table, CsvTable):
            table.read_as_text(name)
            table.check(name)
        elif not table.is_text(name) and table.facts[name].count:
            raise refusal(name, f"text, as in {learned.path}", f"numbers or booleans in {table.path}")
    elif table.is_text(name) and learned.facts[name].count_numbers:
        facts = table.facts[name]
        expected = in_place_of(str(facts.text), f"numbers, as in {learned.path}")
        raise refusal(name, expected, f"{facts.text!r} in row {facts.row} of {table.path}")
    elif isinstance(table, CsvTable):
        table.check(name)


def _settled(one: CsvTable, other: TableFile) -> bool:
    """Whether the numbers of another file have the marks that those of one in doubt were read by."""
    if not isinstance(other, CsvTable):
        return False
    ours, theirs = one.dialect, other.dialect
    alike = ours.thousands == theirs.thousands
    says = other.marks.seen and (other.marks.doubt is None or alike)
    return ours.decimal == theirs.decimal and (bool(ours.thousands) or says)
