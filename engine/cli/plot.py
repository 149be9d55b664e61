"""The picture of `llmkit stats --png`: latency, tokens, cost, errors and cache hits of each group, and calls over time.

Needs matplotlib (the extra [plot]), which is loaded when a picture is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine.accounting.statistics import Group, percentile
from engine.errors import ConfigError

__all__ = ["plot"]

MOST = 20  # groups in a picture: those with the most calls, or the latest days
BINS = 60  # of the time axis


def plot(rows: Sequence[Mapping[str, Any]], found: Sequence[Group], by: str, path: str) -> None:
    """Draw groups, and their rows over time, into a file. ConfigError without matplotlib, and for a file that cannot be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError('a picture needs matplotlib: pip install "llmkit-engine[plot]"') from None
    shown = list(found)[-MOST:] if by in ("day", "hour") else list(found)[:MOST]
    shown = shown[::-1]
    figure = Figure(figsize=(13, 3.2 + 2 * (1.4 + 0.3 * len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 2)
    names = [group.name for group in shown]
    _bars(axes[0][0], names, "latency of answers, s", [
        ("p95", [percentile(g.seconds, 0.95) or 0 for g in shown], "#c6d4e8"),
        ("p50", [percentile(g.seconds, 0.5) or 0 for g in shown], "#4a78b0"),
        ("first event p50", [percentile(g.first, 0.5) or 0 for g in shown], "#f0a848"),
    ], over=True)  # fmt: skip
    _bars(axes[0][1], names, "tokens", [
        ("input", [g.input_tokens for g in shown], "#4a78b0"), ("output", [g.output_tokens for g in shown], "#f0a848"),
    ])  # fmt: skip
    _bars(axes[1][0], names, "cost, USD", [("", [float(g.cost) for g in shown], "#5a9e6f")])
    kinds = [kind for kind, _ in sum((g.errors for g in shown), start=type(shown[0].errors)()).most_common(8)]
    colours = ["#b5473c", "#e08c5a", "#8a5a9e", "#777777", "#c9a227", "#3c8ab5", "#b53c80", "#555599"]
    _bars(axes[1][1], names, "errors, share of calls", [
        (kind, [g.errors[kind] / g.calls for g in shown], colour) for kind, colour in zip(kinds, colours)
    ])  # fmt: skip
    _bars(axes[2][0], names, "answered from the cache, share of calls", [("", [g.cached / g.calls for g in shown], "#5aa5a5")])
    _over_time(axes[2][1], rows)
    figure.suptitle(f"{sum(g.calls for g in found):,} calls by {by}")
    try:
        figure.savefig(path, dpi=110, format="png")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


def _bars(axis: Any, names: list[str], title: str, series: list[tuple[str, list[float], str]], over: bool = False) -> None:
    """Horizontal bars: one after the other, or each over the one before."""
    from matplotlib.ticker import EngFormatter, ScalarFormatter

    places = range(len(names))
    left = [0.0] * len(names)
    for label, values, colour in series:
        axis.barh(places, values, left=None if over else left, color=colour, label=label or None, height=0.7)
        left = [a + b for a, b in zip(left, values)]
    axis.set_yticks(places, [name if len(name) <= 40 else name[:39] + "…" for name in names], fontsize=8)
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(EngFormatter(sep="") if title == "tokens" else ScalarFormatter())
    if not any(left):
        axis.set_xlim(right=1)
    if any(label for label, _, _ in series):
        _legend(axis, len(series))
    _plain(axis)


def _over_time(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Calls per bin of time, and those that failed."""
    first, last = rows[0]["at"], rows[-1]["at"]
    width = max((last - first) / BINS, 1e-6)
    calls, failed = [0] * (BINS + 1), [0] * (BINS + 1)
    for row in rows:
        place = min(BINS, int((row["at"] - first) / width))
        calls[place] += 1
        failed[place] += row["kind"] not in ("ok", "cancelled")
    axis.fill_between(range(BINS + 1), calls, step="mid", color="#c6d4e8", label="calls")
    axis.fill_between(range(BINS + 1), failed, step="mid", color="#b5473c", label="failed")
    form = "%H:%M" if last - first < 86400 else "%m-%d"
    ticks = range(0, BINS + 1, BINS // 4)
    axis.set_xticks(ticks, [time.strftime(form, time.gmtime(first + tick * width)) for tick in ticks], fontsize=8)
    axis.set_title("calls over time (UTC)", fontsize=10, loc="left")
    axis.set_ylim(bottom=0)
    _legend(axis, 2)
    _plain(axis)


def _legend(axis: Any, columns: int) -> None:
    """Beside the title, where no bar is."""
    axis.legend(fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, borderaxespad=0.2)


def _plain(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(labelsize=8)
