"""Texts of a user's own, as names of columns and levels, in the words of a picture."""


def verbatim(text: str, letters: int | None = None) -> str:
    """A text, cut where it has more than so many letters, as matplotlib is given it to show it to the letter."""
    # What is between two dollars would be taken for TeX.
    short = text if letters is None or len(text) <= letters else f"{text[: letters - 1]}…"
    return short.replace("$", r"\$")
