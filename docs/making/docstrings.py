"""Docstrings of the package as the reference has them: examples are highlighted, and sources are a list."""

import re

import griffe


class Sections(griffe.Extension):
    """Two sections of which Griffe would make notes in a box: `Example:` and `References:`."""

    def on_object(self, *, obj, **_):
        if obj.docstring is not None:
            told = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"^References:\n((?:    .*\n?)+)", sources, told, flags=re.MULTILINE)


def sources(section: re.Match) -> str:
    """A paragraph with a list, an entry for each source; one ends where a line ends with a full stop."""
    entries = re.findall(r"\S.*?\.$", section[1], flags=re.MULTILINE | re.DOTALL)
    return "\n".join(["**References:**", "", *(f"- {' '.join(entry.split())}" for entry in entries), ""])
