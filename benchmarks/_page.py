"""A page of docs/ from a page of prose: a word such as $mnist in it stands for a table."""

import string
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def markdown(heads: list[str], rows: list[list]) -> str:
    if not rows:
        return "*No such row was run.*"
    lines = [heads, ["-"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def of_records(rows: list[dict]) -> str:
    """A table of rows by their names of columns, of which one may lack some."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    return markdown(heads, [[row.get(head, "") for head in heads] for row in rows])


def write_page(prose: Path, words: dict[str, str], out: Path) -> None:
    """Write `prose` with its words replaced."""
    from keras_iwae.foundation.storage import replacing

    page = string.Template(prose.read_text()).substitute(words)
    with replacing(out) as temporary:
        Path(temporary).write_text(page)
    print(out)
