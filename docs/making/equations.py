"""Equations between dollars as MathML, which browsers render themselves: without scripts, fonts or the network."""

import html
import re

from latex2mathml.converter import convert

_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
# A function's name is apart from what it is of, unless that is in parentheses.
_FUNCTION = re.compile(r'(<mi>(?:log|exp|max|min|tanh|det)</mi>)(?!<mo stretchy="false">|</mrow>)')


def on_page_content(content, page, config, files):
    return _EQUATION.sub(_mathml, content)


def _mathml(found: re.Match) -> str:
    equation, alone = html.unescape(found[2]).strip(), found[1] == "div"
    written = convert(equation, display="block" if alone else "inline")
    written = _FUNCTION.sub(r'\1<mspace width="0.17em"/>', written)
    # What is wider than a phone is moved sideways there.
    return f'<{found[1]} class="wide-equation">{written}</{found[1]}>' if alone or len(equation) > 40 else written
