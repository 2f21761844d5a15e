"""A comparison as text, JSON, a page, a picture."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any

from . import gpu
from .summary import Mean, Row, families, overall, rows

Record = dict[str, Any]
GOOD, BAD = "#2a7f62", "#c0392b"
BUSY = 0.5  # load average before a run, on an idle machine close to 0
TICKS = (0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32)


def duration(seconds: float | None) -> str:
    """1.2 us, 34 ms: three digits."""
    if seconds is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def ratio_text(row: Row) -> str:
    if row.failed is not None:
        return "failed"
    return "peer failed" if row.ratio is None else f"{row.ratio:.2f}"


def note(row: Row, ours: str, peer: str) -> str:
    """Why there is no ratio."""
    if row.failed is not None:
        return f"{ours}: {row.failed}"
    return f"{peer}: {row.peer_failed}" if row.peer_failed is not None else ""


def table(heads: list[str], lines: list[list[str]]) -> str:
    """Columns as wide as they need to be, the first to the left; the last may be ragged."""
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]

    def joined(line: list[str]) -> str:
        cells = [
            cell.ljust(width) if i == 0 or (cell and i == len(line) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(joined(line) for line in [heads, *lines])


def means_table(means: list[Mean], title: str) -> str:
    lines = [[m.name, str(m), str(m.count), str(m.slower)] for m in means]
    return table([title, "geometric mean", "workloads", "slower"], lines)


def against(report: Record, peer: str) -> str:
    """All tables of the first library against one other."""
    ours = report["libraries"][0]
    found = rows(report, peer)
    lines = [
        [r.key, duration(r.ours), duration(r.theirs), ratio_text(r), note(r, ours, peer)]
        for r in found
    ]
    lost = sum(row.lost for row in found)
    parts = [
        f"{ours} against {peer}: {lost} of {len(found)} workloads lost",
        table(["workload", ours, peer, "ratio", ""], lines),
    ]
    if by_family := families(found):
        parts.append(means_table(by_family, "family"))
    parts.append(means_table(overall(found), "overall"))
    return "\n\n".join(parts)


def megabytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 2**20:.1f} MB"


def memory_table(report: Record) -> str:
    """The peak of a process during training steps, and what of it came after the import."""
    names = report["libraries"]
    lines = []
    for record in report["memory"]:
        cells = [record["key"]]
        for name in names:
            found = record["bytes"].get(name)
            cells += [megabytes(found and found["peak"]), megabytes(found and found["above"])]
        failures = "; ".join(f"{name}: {why}" for name, why in record["failed"].items())
        lines.append([*cells, failures])
    heads = [head for name in names for head in (name, "above import")]
    return table(["peak memory of a step", *heads, ""], lines)


def flags_table(report: Record) -> str:
    """On a GPU: what decides how each library computes."""
    found = {name: about.get("flags", {}) for name, about in report.get("about", {}).items()}
    return "\n".join(
        [
            f"{name}: " + ", ".join([f"{key} {value}" for key, value in flags.items()])
            for name, flags in found.items()
            if flags
        ]
    )


def roofline_table(report: Record) -> str:
    """On a GPU: the share of what the workload could take at best, at rates of this run."""
    peaks = report["peaks"]
    lines = []
    for record in report["workloads"]:
        work = record.get("work")
        cells = []
        for name in report["libraries"]:
            seconds = record.get("seconds", {}).get(name)
            found = gpu.share(seconds, work, peaks) if seconds and work else None
            cells.append("-" if found is None else f"{found:.0%}")
        if work:
            size = [f"{work['bytes'] / 1e6:.3g} MB", f"{work['flops'] / 1e9:.3g} GFLOP"]
            lines.append([record["key"], *size, *cells, ""])
    rates = f"{peaks['bytes'] / 1e9:.0f} GB/s, {peaks['flops'] / 1e12:.1f} TFLOP/s"
    heads = [f"share of {rates}", "at least", "", *report["libraries"], ""]
    return table(heads, lines)


def about_table(report: Record) -> str:
    lines = []
    for name, about in report.get("about", {}).items():
        seconds, size = about.get("import_seconds"), about.get("installed_bytes")
        failed = about.get("failed", "")
        version = about.get("version", "-")
        lines.append([name, version, duration(seconds), megabytes(size), failed])
    return table(["library", "version", "import", "installed with all it needs", ""], lines)


def heading(report: Record) -> str:
    machine, settings = report["machine"], report["settings"]
    busy = machine["load"] > BUSY
    warning = f"; OTHER PROGRAMS WERE BUSY (load {machine['load']}), figures are noisy"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"{settings['statistic']} of {settings['rounds']} rounds of {settings['budget']:g} s; "
        f"ratios above 1: the first library is faster{warning if busy else ''}"
    )


def as_text(report: Record) -> str:
    """What the terminal shows: losers first, the sums last."""
    parts = [against(report, peer) for peer in report["libraries"][1:]]
    if report["memory"]:
        parts.append(memory_table(report))
    if report.get("peaks"):
        parts.append(roofline_table(report))
    parts.append(about_table(report))
    if flags := flags_table(report):
        parts.append(flags)
    return "\n\n".join([heading(report), *parts])


def save_json(report: Record, path: Path) -> None:
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")


# --- the page

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .15em .7em; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
td.bar { width: 22em; text-align: left; padding: 0 }
pre { overflow-x: auto }
"""


def bar(ratio: float | None) -> str:
    """A bar from 1 in the middle, to the right where we are faster; eight times fills it."""
    if ratio is None:
        return ""
    share = max(-1.0, min(1.0, math.log2(ratio) / 3))
    left, width = (50.0, 50 * share) if share >= 0 else (50 + 50 * share, -50 * share)
    colour = GOOD if share >= 0 else BAD
    return (
        '<svg width="100%" height="14" preserveAspectRatio="none">'
        f'<rect x="{left:.1f}%" width="{width:.1f}%" y="2" height="10" fill="{colour}"/>'
        '<rect x="50%" width="1" height="14" fill="#888"/></svg>'
    )


def html_table(heads: list[str], lines: list[tuple[list[str], float | None]]) -> str:
    """Cells, and a bar of the ratio at the end of each line."""
    out = ["<table><tr>", *(f"<th>{html.escape(h)}</th>" for h in heads), "<th></th></tr>"]
    for cells, ratio in lines:
        out += ["<tr>", *(f"<td>{html.escape(cell)}</td>" for cell in cells)]
        out.append(f'<td class="bar">{bar(ratio)}</td></tr>')
    return "".join([*out, "</table>"])


def as_html(report: Record, path: Path) -> None:
    """One page without anything from elsewhere: sums, then every workload, losers first."""
    ours = report["libraries"][0]
    parts = [f"<p>{html.escape(heading(report))}</p>"]
    for peer in report["libraries"][1:]:
        found = rows(report, peer)
        means = [*overall(found), *families(found)]
        title = html.escape(f"{ours} against {peer}")
        parts.append(f"<h2>{title}</h2>")
        heads = ["geometric means", "ratio", "workloads", "slower"]
        parts.append(
            html_table(
                heads,
                [([m.name, str(m), str(m.count), str(m.slower)], m.value) for m in means],
            )
        )
        parts.append(
            html_table(
                ["workload, losers first", ours, peer, "ratio", ""],
                [
                    (
                        [
                            r.key,
                            duration(r.ours),
                            duration(r.theirs),
                            ratio_text(r),
                            note(r, ours, peer),
                        ],
                        r.ratio,
                    )
                    for r in found
                ],
            )
        )
    if report["memory"]:
        parts.append(f"<pre>{html.escape(memory_table(report))}</pre>")
    parts.append(f"<pre>{html.escape(about_table(report))}</pre>")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Benchmarks of {html.escape(ours)}</title><style>{STYLE}</style>"
        f"<h1>Benchmarks of {html.escape(ours)}</h1>{''.join(parts)}</html>"
    )
    path.write_text(page, encoding="utf-8")


def draw_png(report: Record, path: Path) -> None:
    """The geometric means as bars, a panel for every peer."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    ours, *peers = report["libraries"]
    groups = [rows(report, peer) for peer in peers]
    most = max((len(overall(g)) + len(families(g)) for g in groups), default=1)
    figure, axes = pyplot.subplots(
        1, max(1, len(peers)), figsize=(7 * max(1, len(peers)), 1.2 + 0.3 * most), squeeze=False
    )
    for axis, peer, found in zip(axes[0], peers, groups, strict=False):
        bars = [(m, m.value) for m in [*overall(found), *families(found)] if m.value is not None]
        values = [value for _, value in bars] or [1.0]
        colours = [GOOD if v >= 1 else BAD for v in values]
        names = [m.name for m, _ in bars] or [""]
        axis.barh(names, [v - 1 for v in values], left=1, color=colours)
        for i, (mean, value) in enumerate(bars):
            side = "left" if value >= 1 else "right"
            axis.text(value, i, f" {mean} ", va="center", ha=side)
        axis.set_xscale("log")
        axis.set_xticks([t for t in TICKS if 0.7 * min(values) <= t <= 1.4 * max(values)] or [1])
        axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.axvline(1, color="black", linewidth=0.8)
        axis.margins(x=0.25)
        axis.invert_yaxis()
        axis.set_title(f"{ours} against {peer}: times faster (geometric mean)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
