"""Numbers as people dress them: 5%, $5, 1 200, 5mg, 10±2 and 12:00 are text to a program, and hardly ever levels."""

import re
from collections.abc import Collection

_SIGN = r"[+\-\u2212\u2013]?"
_GROUPS = r"\d{1,3}(?:[\s'\u2019_]\d{3})+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_GROUPS}|\d[\d.,]*)"
_CURRENCY = "[$€£¥₹₽₩₺₴₫₪฿¢]"
# Those that nobody names levels by, as 3D, 5G, 2L or 1A are named.
_UNITS = (
    "kg|mg|µg|μg|ug|ng|g|lbs?|oz|km|cm|mm|µm|μm|nm|m|ft|in|ml|mL|dl|dL|cl|l|ms|min|sec|s|hrs?|h|days?|d|wks?|weeks?|"
    "months?|yrs?|years?|y|kHz|MHz|GHz|Hz|kWh|kW|mV|kPa|hPa|mmHg|bar|bpm|mmol|mol|IU|px|KB|kB|MB|GB|TB|EUR|USD|GBP|k"
)
_PLAIN = re.compile(r"[+-]?\d[\d.,]*")
_DRESSED = re.compile(
    "|".join(
        (
            rf"{_SIGN}{_GROUPS}",
            rf"[\u2212\u2013]\s*{_NUMBER}",
            rf"{_SIGN}{_NUMBER}\s*(?:[%‰]|°\s*[CFNSEW]?|{_CURRENCY})",
            rf"\(\s*{_SIGN}{_NUMBER}\s*\)",
            rf"{_SIGN}{_CURRENCY}\s*{_SIGN}{_NUMBER}",
            # Two in one cell: with an error, and as pressures of the blood; 0/1 and 1/1 are genotypes.
            rf"{_SIGN}{_NUMBER}\s*(?:±|\+/?[-\u2212])\s*{_NUMBER}",
            rf"{_SIGN}{_NUMBER}\s*[(\[]\s*{_SIGN}{_NUMBER}\s*%?\s*[)\]]",
            r"\d{2,3}\s*/\s*\d{2,3}",
            # Times of a day and spans; years with a month.
            r"\d{1,3}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?",
            r"\d{4}[-/](?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])[-/]\d{4}",
        )
    )
)
# How they are to be written.
UNDRESSED = (
    "5 for '5%', -5 for '\u2212 5', 1200 for '1 200', hours or months for a time, and two "
    "columns for '10±2', '10 (2)' or '120/80'"
)
_MEASURED = re.compile(rf"{_SIGN}{_NUMBER}\s*(?:{_UNITS})")
_WITH_UNIT = re.compile(rf"{_SIGN}{_NUMBER}\s+([^\W\d_][^\s\d]*)")


def dressed(levels: Collection[str]) -> str | None:
    """The first of some texts that are all numbers, of which some are not written as numbers only; `None` elsewhere.

    A word behind two numbers or more is a unit where it is a common one, as in "500mg" and "1 g", or where it stands
    apart and there is no other: "5 boxes" and "10 boxes", but not "1 low" and "2 high", nor "1A" and "2A".

    Example:
        >>> dressed(["900", "1 200"])
        '1 200'
    """
    texts = [text for level in levels if not _PLAIN.fullmatch(text := level.strip())]
    if not texts:
        return None
    units = [_WITH_UNIT.fullmatch(text) for text in texts]
    same = all(units) and len({unit[1] for unit in units if unit}) == 1
    measured = len(texts) > 1 and (same or all(map(_MEASURED.fullmatch, texts)))
    return texts[0] if measured or all(map(_DRESSED.fullmatch, texts)) else None


def in_place_of(text: str, numbers: str = "numbers") -> str:
    """What is expected in the place of a text that stands among numbers, in words.

    Args:
        text: it.
        numbers: what else there is.
    """
    if dressed([text, text]) is not None:
        # It is known, and to take it for a gap would lose it.
        return f"{numbers}, of digits alone, as {UNDRESSED}"
    return f"{numbers}, or {text!r} among `missing` if it stands for a cell that is not known"
