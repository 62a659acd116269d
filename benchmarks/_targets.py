"""The targets of docs/performance.md and what was reached, from the files of the benchmarks."""

from collections.abc import Callable

from _page import markdown
from _timing import spread, text

GIB = 2**30


def targets(read: Callable[[str], dict | None], bounds: list[dict]) -> str:
    """A row for each target whose benchmark was run.

    Args:
        read: from the name of a benchmark to its file's content, `None` where there is none.
        bounds: the table of bounds of docs/results.md.
    """
    rows = [*_steps(read("train_step") or {"rows": []}), *_resampled(bounds)]
    for name, made in (("nll", _nll), ("time_to_nll", _seconds), ("growth", _growth), ("startup", _startup)):
        found = read(name)
        rows += made(found) if found else []
    return markdown(["what", "target", "reached (range)", "met"], rows) if rows else "*Not run yet.*"


def _row(what: str, aim: str, reached: str, met: bool) -> list[str]:
    return [what, aim, reached, "yes" if met else "no"]


def _steps(found: dict) -> list[list[str]]:
    rows = []

    def add(what: str, aim: float, batch: int, samples: int, drawn: int | None = None, share: bool = False) -> None:
        key = "share_of_products" if share else "speed_to_fastest_peer"
        wanted = batch, samples, drawn
        own = [
            row[key]
            for row in found["rows"]
            if (row["batch_size"], row["num_samples"], row["backward_samples"]) == wanted
            and row["side"].startswith("keras_iwae")
            # Without a peer there is no ratio to one.
            and key in row
        ]
        if own:
            best = max(own, key=lambda each: each["median"])
            aimed, reached = (f"{aim:.0%}", f"{best['median']:.0%}") if share else (f"{aim:g}", text(best))
            rows.append(_row(what, aimed, reached, best["median"] >= aim))

    for batch, exact, resampled, few in ((100, 1.6, 2.8, 1.0), (20, 1.1, 1.5, 0.8)):
        add(f"exact step, K = 50, B = {batch}, to the fastest peer", exact, batch, 50)
        add("the same, share of the matrix products' rate", 0.75, batch, 50, share=True)
        add(f"resampled m = 8, K = 50, B = {batch}, to the fastest peer's exact step", resampled, batch, 50, drawn=8)
        for samples in (1, 5):
            add(f"exact step, K = {samples}, B = {batch}, to the fastest peer", few, batch, samples)
    return rows


def _seconds(found: dict) -> list[list[str]]:
    """To 90 nats: the fastest of ours next to the fastest of the peers, round by round; nothing without a peer."""
    peers = {side for one in found["reached"] for side in one if not side.startswith("keras_iwae")}
    if not peers or 90.0 not in found["settings"]["thresholds"]:
        return []

    def quickest(one: dict, ours: bool) -> float | None:
        times = [at["90"]["seconds"] for side, at in one.items() if at["90"] and side.startswith("keras_iwae") == ours]
        return min(times, default=None)

    what = "seconds to 90 nats, to the fastest peer's, at most"
    pairs = [(quickest(one, True), quickest(one, False)) for one in found["reached"]]
    minutes = found["settings"]["minutes"]
    if not any(theirs for _, theirs in pairs) and all(ours for ours, _ in pairs):
        # A peer's time is longer than all that it had, by how much nobody knows.
        met = all(ours <= 0.5 * 60.0 * minutes for ours, _ in pairs)
        return [_row(what, "0.5", f"no peer got there in {minutes:g} min", met)]
    shares = [ours / theirs for ours, theirs in pairs if ours and theirs]
    if len(shares) < len(pairs):
        return [_row(what, "0.5", f"not reached in {minutes:g} min", False)]
    return [_row(what, "0.5", text(spread(shares)), spread(shares)["median"] <= 0.5)]


def _resampled(bounds: list[dict]) -> list[list[str]]:
    behind = [row["to the first row"] for row in bounds if row["estimator"] == "reparameterized, m = 8"]
    # Of one that could not be compared, the cell says why.
    behind = [each for each in behind if not each.startswith("none")]
    what = "NLL of m = 8 above exact's after ten passes, nats, at most"
    return [_row(what, "0.1", each, float(each.split()[0]) <= 0.1) for each in behind]


def _nll(found: dict) -> list[list[str]]:
    own = next(row for row in found["rows"] if row["side"] == "keras_iwae")
    share = own["share_of_products"]["median"]
    rows = [_row("NLL at K = 5000, share of the matrix products' rate", "55%", f"{share:.0%}", share >= 0.55)]
    speeds = own["times_as_fast_as"]
    if speeds:
        fastest = min(speeds, key=lambda peer: speeds[peer]["median"])
        aims = {fastest: 3.0, "pythae": 5.0}
        rows += [
            _row(f"NLL at K = 5000, to {peer}", f"{aim:g}", text(speeds[peer]), speeds[peer]["median"] >= aim)
            for peer, aim in aims.items()
            if peer in speeds
        ]
    most = max((p["peak"] - p["base"]) / GIB for p in found["memory"] if p["side"] == "keras_iwae")
    return [*rows, _row("its memory over the imports', GiB, under", "1.5", f"{most:.2f}", most < 1.5)]


def _growth(found: dict) -> list[list[str]]:
    peaks = {p["K"]: p["peak_over_imports"] / GIB for p in found["points"] if p["drawn"] == 32}
    if not peaks.get(5000):
        return []
    reached = f"{peaks[5000]:.2f}, and {peaks[500]:.2f} at K = 500"
    return [
        _row(
            "training at K = 5000, m = 32: memory over the imports', GiB",
            "flat",
            reached,
            peaks[5000] < 1.1 * peaks[500],
        )
    ]


def _startup(found: dict) -> list[list[str]]:
    added = found["keras_iwae_adds"]
    return [_row("seconds that the import adds, under", "0.3", text(added), added["median"] < 0.3)]
