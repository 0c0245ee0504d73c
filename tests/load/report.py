"""What a run of `make load` shows: a row for each number of users, and a picture of all."""

import statistics
from collections import Counter
from collections.abc import Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

from tests.load.users import Try, outcomes

# Seconds of one point of the picture's lines.
STEP = 5.0


class Row(Struct):
    """One number of users. Times in seconds; `probes` are the 95th percentiles of what must stay quick meanwhile, in ms."""

    users: int
    tries: int
    success: float  # share of the tries that succeeded, Retry-After honoured
    a_minute: float  # photos done, from the first request to the last photo: what is begun is also ended
    p50: float
    p95: float
    refused: int  # answers that said to come again
    failures: dict[str, int]
    probes: dict[str, float]
    processor: dict[str, float]  # by part, milliseconds a photo: what does not change when others use the machine too
    load: float  # the machine's load average at the end
    done: list[int]  # photos done in each step


def row(users: int, tries: Sequence[Try], probes: dict[str, list[float]], used: dict[str, float], load: float) -> Row:
    """What the tries of one crowd come to."""
    good = [one for one in tries if one.outcome == "success"]
    ends = [one.began + one.seconds for one in good]
    failures = outcomes(list(tries))
    failures.pop("success", None)
    times = sorted(one.seconds for one in good) or [0.0]
    done = Counter(int(end // STEP) for end in ends)
    return Row(
        users=users,
        tries=len(tries),
        success=len(good) / len(tries) if tries else 0.0,
        a_minute=len(good) / max(ends, default=1.0) * 60,
        p50=statistics.median(times),
        p95=_p95(times),
        refused=sum(one.refused for one in tries),
        failures=dict(failures),
        probes={name: _p95(sorted(found)) * 1000 for name, found in probes.items() if found},
        processor={name: seconds / max(1, len(good)) * 1000 for name, seconds in used.items()},
        load=load,
        done=[done[step] for step in range(int(max(ends, default=0.0) // STEP) + 1)],
    )


def _p95(times: Sequence[float]) -> float:
    return times[min(len(times) - 1, int(len(times) * 0.95))]


def table(rows: Sequence[Row]) -> str:
    """For a terminal."""
    peak = max((one.a_minute for one in rows), default=0.0) or 1.0
    head = ("users", "tries", "success", "photos/min", "of peak", "p50 s", "p95 s", "refused", "load")
    lines = [
        (
            str(one.users), str(one.tries), f"{one.success:.1%}", f"{one.a_minute:.0f}", f"{one.a_minute / peak:.2f}",
            f"{one.p50:.1f}", f"{one.p95:.1f}", str(one.refused), f"{one.load:.1f}",
        )
        for one in rows
    ]  # fmt: skip
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    text = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *lines]]
    for one in rows:
        parts = sorted(one.processor.items(), key=lambda part: -part[1])
        whole = sum(one.processor.values())
        text.append(
            f"{one.users} users: {whole:.0f} ms of processor a photo: "
            + ", ".join(f"{name} {ms:.0f}" for name, ms in parts[:8])
        )
        probes = ", ".join(f"{name} {ms:.0f} ms" for name, ms in one.probes.items())
        text.append(f"{one.users} users: meanwhile, p95: {probes}")
        text += [f"{one.users} users: {count} × {kind}" for kind, count in sorted(one.failures.items())]
    return "\n".join(text) + "\n"


def picture(rows: Sequence[Row]) -> str:
    """Photos done a minute over the time of each run, as SVG."""
    width, height, left, top = 720, 320, 60, 30
    most = max((count for one in rows for count in one.done), default=1) * 60 / STEP or 1
    steps = max((len(one.done) for one in rows), default=1) or 1
    colours = ("#0a7", "#27c", "#c52", "#849", "#777")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 160} {height + 80}"'
        ' font-family="sans-serif" font-size="12">',
        f'<text x="{left}" y="18" font-size="14">Photos done a minute, by number of users</text>',
        f'<path d="M{left},{top} V{top + height} H{left + width - 80}" fill="none" stroke="#555"/>',
        f'<text x="8" y="{top + 10}">{most:.0f}</text><text x="8" y="{top + height}">0</text>',
        f'<text x="{left + width - 140}" y="{top + height + 20}">{steps * STEP:.0f} s</text>',
    ]
    for i, one in enumerate(rows):
        points = " ".join(
            f"{left + step / steps * (width - 80):.1f},{top + height - count * 60 / STEP / most * height:.1f}"
            for step, count in enumerate(one.done)
        )
        colour = colours[i % len(colours)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        label = escape(f"{one.users}: {one.a_minute:.0f}/min, {one.success:.1%}")
        parts.append(f'<text x="{width - 10}" y="{top + 20 + 18 * i}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])
