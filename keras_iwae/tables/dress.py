"""Numbers as people dress them: 5%, $5, 1 200, 5 kg and 12:00 are text to a program, and hardly ever levels."""

import re
from collections.abc import Collection

_SIGN = r"[+\-\u2212\u2013]?"
_GROUPS = r"\d{1,3}(?:[\s'\u2019]\d{3})+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_GROUPS}|\d[\d.,]*)"
_CURRENCY = "[$€£¥₹₽₩₺₴₫₪฿¢]"
_PLAIN = re.compile(r"[+-]?\d[\d.,]*")
_DRESSED = re.compile(
    "|".join(
        (
            rf"{_SIGN}{_GROUPS}",
            rf"[\u2212\u2013]\s*{_NUMBER}",
            rf"{_SIGN}{_NUMBER}\s*(?:[%‰°]|{_CURRENCY})",
            rf"{_SIGN}{_CURRENCY}\s*{_SIGN}{_NUMBER}",
            # Times of a day and spans; years with a month.
            r"\d{1,3}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?",
            r"\d{4}[-/](?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])[-/]\d{4}",
        )
    )
)
_WITH_UNIT = re.compile(rf"{_SIGN}{_NUMBER}\s+([^\W\d_][^\s\d]*)")


def dressed(levels: Collection[str]) -> str | None:
    """The first of some texts that are all numbers, of which some are not written as numbers only; `None` elsewhere.

    A word behind a number is a unit where it is the same behind two or more and there is no other: "5 kg" and "10 kg",
    but not "1 low" and "2 high", nor "1A".

    Example:
        >>> dressed(["900", "1 200"])
        '1 200'
    """
    texts = [text for level in levels if not _PLAIN.fullmatch(text := level.strip())]
    if not texts:
        return None
    units = [_WITH_UNIT.fullmatch(text) for text in texts]
    same = len(texts) > 1 and all(units) and len({unit[1] for unit in units if unit}) == 1
    return texts[0] if same or all(map(_DRESSED.fullmatch, texts)) else None
