"""Pages from their templates, which share pieces of HTML and a style."""

from collections.abc import Mapping
from pathlib import Path

import jinja2

from keras_iwae.experiments.report.blocks import Missing


def rendered(template: str, contents: Mapping) -> str:
    """The page of a template of this folder.

    Args:
        template: the name of its file.
        contents: every name that it uses.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["missing"] = lambda part: isinstance(part, Missing)
    return environment.get_template(template).render(contents)
