"""Random keys are split or used, never both, and each purpose has one of its own: by AST, and by draws."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.foundation.keys import Purpose, key_for

PACKAGE = Path(__file__).resolve().parent.parent / "keras_iwae"
FILES = sorted(PACKAGE.rglob("*.py"))
SPLITTING = {"fold_in", "stateless_fold_in", "split", "split_seed"}


def called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_split(node):
    """Whether a call makes keys of a key; strings and tensors are split by methods of the same name."""
    owner = ast.unparse(node.func)
    return called(node) in SPLITTING and ("random" in owner or called(node) == "fold_in")


def misused(source):
    """What is wrong with the keys of a source text, function by function, one sentence for each."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, (ast.FunctionDef, ast.Lambda)):
            continue
        made, drawn, purposes = {}, set(), []
        # Of this function alone; what it defines inside is looked at by itself, and with it.
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            if is_split(node) and node.args and isinstance(node.args[0], ast.Name):
                how = ast.unparse(node.args[1]) if "fold" in called(node) and len(node.args) > 1 else "split"
                made.setdefault(node.args[0].id, []).append((how, "fold" in called(node)))
            for keyword in node.keywords:
                if keyword.arg == "seed" and isinstance(keyword.value, ast.Name):
                    drawn.add(keyword.value.id)
            if called(node).startswith("stateless_") and not is_split(node) and len(node.args) > 1:
                drawn |= {node.args[1].id} if isinstance(node.args[1], ast.Name) else set()
            if called(node) in ("normal_of_rows", "uniform_of_rows") and isinstance(node.args[0], ast.Name):
                drawn.add(node.args[0].id)
            if called(node) == "key_for":
                purposes.append(ast.unparse(node.args[0]))
        for name, uses in made.items():
            hows = [how for how, _ in uses]
            if len(set(hows)) < len(hows):
                found.append(f"{name} is made into the same key twice")
            constants = [how for how, folds in uses if folds and how.isdigit()]
            if constants and any(folds and not how.isdigit() for how, folds in uses):
                found.append(f"{name} is folded by a number that varies and by {constants[0]}")
            if "split" in hows and len(hows) > 1:
                found.append(f"{name} is split and folded")
            if name in drawn and not rebound(function, name):
                found.append(f"{name} is drawn from and made into others")
        if len(set(purposes)) < len(purposes):
            found.append("a purpose has two uses")
    return found


def rebound(function, name):
    """Whether a split is given the name of the key that was split."""
    targets = [ast.unparse(target) for n in ast.walk(function) if isinstance(n, ast.Assign) for target in n.targets]
    return any(name in target.replace("(", "").replace(")", "").split(", ") for target in targets)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_keys_of_a_file(path):
    assert not misused(path.read_text())


def test_keys_of_a_users_seed_are_made_in_one_place():
    """A literal [seed, n] would be somebody else's purpose, or a step of training."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        # Those of steps are there.
        if path.name not in ("keys.py", "stream.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and called(node) in ("constant", "stack")
        and node.args
        and isinstance(node.args[0], ast.List)
        and ast.unparse(node.args[0]).startswith(("[seed,", "[self.seed,"))
    ]
    assert not wrong


@pytest.mark.slow
def test_each_purpose_is_used_in_one_place():
    uses = Counter(
        ast.unparse(node)
        for path in FILES
        if path.name != "keys.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("Purpose.")
    )
    # What is served is what `model.sample` gives.
    assert uses.pop("Purpose.SAMPLES") == 2
    assert uses == {f"Purpose.{purpose.name}": 1 for purpose in Purpose if purpose != Purpose.SAMPLES}
    assert len({tuple(key_for(purpose, 3).numpy()) for purpose in Purpose}) == len(Purpose)
    assert all(key_for(purpose, 3).numpy()[1] >= 0 for purpose in Purpose), "those below 0 are steps of training"


OLD = """
def gradients(q, seed, m):
    def chunk(i):
        return q.sample([50], seed=tf.random.fold_in(seed, i))
    offset = tf.random.stateless_uniform([m], tf.random.fold_in(seed, 1))
    return chunk(0), chunk(1), offset
"""


@pytest.mark.parametrize(
    "source",
    [
        OLD,
        "def f(seed):\n    return tf.random.fold_in(seed, 1), tf.random.fold_in(seed, 1)",
        "def f(seed):\n    return q.sample(3, seed=seed), tf.random.split(seed, 2)",
        "def f(seed):\n    return tf.random.stateless_normal([3], seed), tf.random.fold_in(seed, 2)",
        "def f(seed):\n    return normal_of_rows(seed, [3, 2], axis=0), tf.random.fold_in(seed, 2)",
        "def f(seed):\n    return tf.random.split(seed, 2), tf.random.fold_in(seed, 2)",
        "def f(s):\n    return key_for(Purpose.SUMO, s), key_for(Purpose.SUMO, s)",
    ],
)
def test_the_walk_would_catch(source):
    assert misused(source)


def correlation(keys):
    """Of the log of the resampling offset and the radius of the second chunk's first two normals, over 2,000 seeds.

    Box and Muller's radius is a function of one uniform number.
    """

    def pair(step):
        chunk_key, offset_key = keys(tf.stack([5, step]))
        radius = tf.reduce_sum(tf.random.stateless_normal([4], chunk_key)[:2] ** 2)
        return radius, tf.math.log(tf.random.stateless_uniform([4], offset_key)[0] + 1e-7)

    drawn = tf.function(lambda steps: tf.map_fn(pair, steps, fn_output_signature=(tf.float32, tf.float32)))
    normal, uniform = drawn(tf.range(2000))
    return np.corrcoef(normal, uniform)[0, 1]


@pytest.mark.statistical
def test_the_offset_knows_nothing_of_the_second_chunk():
    """They shared a key once, which biased the resampled backward pass for K above 50."""

    def keys(seed):
        draw_seed, offset_seed, _ = tf.unstack(tf.random.split(seed, 3))
        return tf.random.fold_in(draw_seed, 1), offset_seed

    assert abs(correlation(keys)) < 4.0 / np.sqrt(2000)
    assert abs(correlation(lambda seed: 2 * [tf.random.fold_in(seed, 1)])) > 0.5
