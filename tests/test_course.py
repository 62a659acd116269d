"""The course, as text: what each lesson has. `make docs` executes it, with what its cells assert."""

import re
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).resolve().parent.parent / "docs" / "course").glob("*.py"))


def cells(lesson):
    """Heading and text of each cell."""
    return re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", lesson.read_text(), re.MULTILINE)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_expects_shows_and_asks(lesson):
    """It says what to expect before it shows it, holds what it says, and ends with two exercises and their answers."""
    found = cells(lesson)
    prose = "".join(text for heading, text in found if "[markdown]" in heading)
    programs = [text for heading, text in found if "[markdown]" not in heading]
    assert len(re.findall(r"\*Expect\*", prose)) >= 2
    assert len(re.findall(r"^assert ", "".join(programs), re.MULTILINE)) >= 5
    kinds = ["answer" if "answer" in heading else "question" for heading, _ in found]
    exercises = [n for n, (_, text) in enumerate(found) if re.search(r"^# \*\*\d\.\*\* ", text, re.MULTILINE)]
    assert len(exercises) == 2
    for exercise in exercises:
        # In words and as a program that holds it.
        assert kinds[exercise : exercise + 3] == ["question", "answer", "answer"]
        assert "assert " in found[exercise + 2][1]
    assert exercises[-1] + 3 == len(found)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_takes_only_what_is_promised(lesson):
    """What it imports of the package, or names, is on a page of the reference."""
    pages = "".join(page.read_text() for page in (lesson.parent.parent / "reference").glob("*.md"))
    text = lesson.read_text()
    named = {name for name in re.findall(r"\bkeras_iwae\.[\w.]*\w", text) if name.count(".") >= 1}
    for module, names in re.findall(r"^from (keras_iwae[\w.]*) import (.*)$", text, re.MULTILINE):
        named |= {f"{module}.{name.strip()}" for name in names.split(",")}
    for name in named:
        last = name.split(".")[-1]
        assert re.search(rf"\b{last}\b", pages), name
