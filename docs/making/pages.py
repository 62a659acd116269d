"""Pages of the site that lie elsewhere in the repository, and links that lead where the site has their targets.

Documents link to each other by their places in the repository, so that they can be read there. The site has those of
docs/ at its root, and beside them the ones that mkdocs.yml names under `extra`, `elsewhere`.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
# Of a picture that is a link the second alone finds both.
_TEXT_AND_LINK = re.compile(r"\[([^][]*)\]\(([^)\s#:]+)\)")
_LINK = re.compile(r"\]\(([^)\s#:]+)(?=[)#])")


def on_files(files, config):
    for path, page in config.extra["elsewhere"].items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    place, elsewhere = page.file.src_uri, config.extra["elsewhere"]
    written = next((path for path, moved in config.extra["elsewhere"].items() if moved == place), f"docs/{place}")
    folder = posixpath.dirname(written)

    def told(link):
        """A site has no list of what is in a folder: its name does."""
        return link[1] if (ROOT / folder / link[2]).is_dir() else link[0]

    def moved(link):
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        if path not in elsewhere and not path.startswith("docs/"):
            # As it is it fails the strict build.
            return link[0]
        # A lesson's page is made of its program.
        target = elsewhere.get(path, re.sub(r"^course/(\w+)\.py$", r"course/\1.md", path.removeprefix("docs/")))
        return f"]({posixpath.relpath(target, posixpath.dirname(place) or '.')}"

    return _LINK.sub(moved, _TEXT_AND_LINK.sub(told, markdown))
