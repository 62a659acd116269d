"""Names of the package that are printed as code lead to the reference, the first time that a page has them.

`keras_iwae.training.PaperSchedule` and `PaperSchedule` both do; a bare name has to have a capital or an underscore in
it, and to be of one thing only.
"""

import posixpath
import re

_HEADING = re.compile(r'<h(\d) id="(keras_iwae[\w.]+)" class="doc doc-heading"')
# A link stays what it is, and so does a program; what is left is code in a line.
_CODE = re.compile(r"<(a|pre|h\d)\b.*?</\1>|<code>([\w.]+)</code>", re.DOTALL)
_places: dict[str, str] = {}


def on_pre_build(config):
    _places.clear()


def on_page_content(content, page, config, files):
    for level, name in _HEADING.findall(content):
        if int(level) == 3:
            place = f"{page.url}#{name}"
            *modules, last = name.split(".")
            _places[name] = place
            # keras_iwae.evaluation has the function of keras_iwae.evaluation.latents.
            _places.setdefault(".".join([*modules[:2], last]), place)
            if last != last.lower() or "_" in last:
                _places[last] = place if _places.get(last, place) == place else ""
    return content


def on_post_page(output, page, config):
    seen = set()

    def linked(found: re.Match) -> str:
        name = found[2]
        place = _places.get(name or "")
        if not place or name in seen or place.split("#")[0] == page.url:
            return found[0]
        seen.add(name)
        return f'<a href="{posixpath.relpath(place, posixpath.dirname(page.url) or ".")}"><code>{name}</code></a>'

    start = output.index("<article")
    return output[:start] + _CODE.sub(linked, output[start:])
