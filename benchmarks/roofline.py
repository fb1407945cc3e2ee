"""What the device allows at most: operations over the rate of its matrix products, bytes over that of its copies.

`row` and `record` are those of the JSON files. All seconds are of one unit of work (an image, a pixel).
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def share(row: Json, name: str, record: Json) -> float | None:
    """The least time of contender `name` over its measured one; None where either is not known."""
    least = max(bounds(row, name, record))
    return least / seconds(row, name) if least and name in row.get("measured", {}) else None


def bounds(row: Json, name: str, record: Json) -> tuple[float, float]:
    """Least seconds of a contender for its operations, and for its bytes; 0 where they are not known."""
    need, rates, units = _need(row, name), record["rates"], row["units"].get(name, 1.0)
    peak = rates["operations"].get(need.get("dtype"), rates["operations"]["float32"])
    return need.get("operations", 0.0) / peak / units, need.get("traffic", 0.0) / rates["bytes"] / units


def _need(row: Json, name: str) -> Json:
    """A contender's own need, or that of ours: outputs that must be equal are the same work."""
    same = name == row["ours"] or row["tolerance"] is not None
    return row.get("needs", {}).get(name, row if same else {})


def seconds(row: Json, name: str) -> float:
    return row["measured"][name]["median"] / row["units"].get(name, 1.0)


def percent(part: float) -> str:
    """Two digits, but no fraction of large ones."""
    return f"{100 * part:.0f} %" if part >= 0.1 else f"{100 * part:.2g} %"


def describe(row: Json, record: Json) -> str:
    """How near ours is to what the device allows, in a line; nothing where that is not known."""
    ours = row["ours"]
    near = share(row, ours, record)
    if near is None:
        return ""
    need, units, taken = _need(row, ours), row["units"].get(ours, 1.0), row["measured"][ours]["median"]
    compute, copy = bounds(row, ours, record)
    least, rates = [], []
    if compute:
        least.append(f"{need['operations'] / units / 1e9:,.3g} GFLOP take at least {1e3 * compute:.4g} ms")
        rates.append(f"{need['operations'] / taken / 1e9:,.0f} GFLOP/s")
    if copy:
        least.append(f"{need['traffic'] / units / 1e6:,.3g} MB at least {1e3 * copy:.4g} ms")
        rates.append(f"{need['traffic'] / taken / 1e9:,.1f} GB/s")
    return f"Roofline of ours: {', '.join(least)}; ours reaches {percent(near)} of that limit ({', '.join(rates)})."


def reach(row: Json, goal: Json, record: Json) -> str:
    """Of a goal in time against a peer: whether the device allows it at all, from the least time of ours and the
    measured one of the peer, in a line; nothing where that is not known."""
    ours, against = row["ours"], goal["against"]
    near, theirs = share(row, ours, record), share(row, against, record)
    if goal["of"] != "time" or near is None or against not in row["measured"]:
        return ""
    least = max(bounds(row, ours, record))
    most = seconds(row, against) / least
    verdict = "ruled out" if most < goal["factor"] else "not ruled out"
    peer = "" if theirs is None else f", {against} {percent(theirs)}"
    return (
        f"{row['work']}, against {against}: at best {1e3 * least:.4g} ms, so at most {most:,.2f}x, and "
        f"{goal['factor']:.3g}x is {verdict}; of its limit ours reaches {percent(near)}{peer}"
    )
