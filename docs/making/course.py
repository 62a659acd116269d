"""The course: notebooks kept as text in docs/course/, executed when the site is built, and their pages.

A notebook that was executed with the package as it is stays in build/course/, so that only what changed is executed
again. Cells with the tag `answer` are folded away on the page. A cell that fails fails the build.
"""

import base64
import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "course"
# A notebook has a core: on two the course takes half as long as on one.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
# Seconds of a cell: whole minutes where other programs have the cores.
TIMEOUT = 1800


def on_files(files, config):
    lessons = sorted((ROOT / "docs" / "course").glob("*.py"))
    package = hashlib.sha256()
    for source in sorted((ROOT / "keras_iwae").rglob("*.py")):
        package.update(source.read_bytes())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        notebooks = list(pool.map(lambda lesson: executed(lesson, package.hexdigest()), lessons))
    for lesson, notebook in zip(lessons, notebooks, strict=True):
        name = f"course/{lesson.stem}"
        text, pictures = page(notebook, lesson.stem)
        files.append(File.generated(config, f"{name}.md", content=text))
        files.append(File.generated(config, f"{name}.ipynb", content=nbformat.writes(notebook)))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"course/{picture}", content=content))
    return files


def executed(lesson: Path, package: str) -> nbformat.NotebookNode:
    """The notebook of a lesson with what its cells gave, with the package of this digest."""
    text = lesson.read_text(encoding="utf-8")
    kept = KEPT / f"{lesson.stem}-{hashlib.sha256((text + package).encode()).hexdigest()[:16]}.ipynb"
    if kept.exists():
        return nbformat.read(kept, as_version=4)
    notebook = jupytext.reads(text, fmt="py:percent")
    try:
        # Sockets of its own: by default kernels that start at one time take each other's.
        with TemporaryDirectory() as folder:
            # Not as an object: the client would leave one that it was given running.
            kernel = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})
            client = NotebookClient(
                notebook, kernel_name="python3", timeout=TIMEOUT, startup_timeout=TIMEOUT, config=kernel
            )
            # What TensorFlow says of the machine when it is imported is for nobody.
            client.execute(env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise PluginError(f"docs/course/{lesson.name}: {error}") from None
    KEPT.mkdir(parents=True, exist_ok=True)
    for old in KEPT.glob(f"{lesson.stem}-*.ipynb"):
        old.unlink()
    # Half a notebook would be read for a whole one.
    beside = kept.with_suffix(".part")
    nbformat.write(notebook, beside)
    beside.replace(kept)
    return notebook


def page(notebook: nbformat.NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """Markdown of an executed notebook, and the PNG files that it shows, by their names."""
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    answering = False
    for cell in notebook.cells:
        is_answer = "answer" in cell.metadata.get("tags", [])
        if is_answer and not answering:
            parts.append('??? success "Answer"')
        answering = is_answer
        text = cell.source if cell.cell_type == "markdown" else code(cell, name, pictures)
        parts.append("\n".join(f"    {line}" if line else "" for line in text.split("\n")) if is_answer else text)
    title, *rest = parts
    told = (
        f"*The page of a [notebook]({name}.ipynb), docs/course/{name}.py, that was executed when this site was made.*"
    )
    heading, _, opening = title.partition("\n")
    return "\n\n".join([heading, told, opening.strip(), *rest]), pictures


def code(cell: nbformat.NotebookNode, name: str, pictures: dict[str, bytes]) -> str:
    """A cell's program, what it printed and the pictures that it drew, which are added to `pictures`."""
    parts = [f"```python\n{cell.source}\n```"]
    printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout").strip("\n")
    if printed:
        parts.append(f"``` {{ .text .printed }}\n{printed}\n```")
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = base64.b64decode(output.data["image/png"])
            parts.append(f"![{cell.metadata.get('title', 'What the cell drew')}]({file})")
        elif "text/plain" in output.get("data", {}):
            parts.append(f"``` {{ .text .printed }}\n{output.data['text/plain']}\n```")
    return "\n\n".join(parts)
