"""What users have seen, as figures: percentiles, overheads, and lines for a terminal."""

from collections.abc import Sequence

from benchmarks.performance.load.users import Habits, Seen

LATENCIES = ("submit_ms", "refusal_ms", "direct_ms", "turn_ms", "turn_overhead_ms", "job_ms", "job_overhead_ms")
Row = dict[str, object]


def row_of(habits: Habits, tenants: int, seen: Seen, direct: Seen, took_s: float) -> Row:
    """The figures of one crowd."""
    base = percentiles(direct.direct_s)
    answers = len(seen.turn_s) + len(seen.job_s)
    return {
        "users": habits.users,
        "tenants": tenants,
        "seconds": round(took_s, 1),
        "answers": answers,
        "per_second": round(answers / took_s, 1),
        "submit_ms": percentiles(seen.submit_s),
        "refusal_ms": percentiles(seen.refusal_s),
        "direct_ms": base,
        "turn_ms": percentiles(seen.turn_s),
        "turn_overhead_ms": beyond(percentiles(seen.turn_s), base),
        "job_ms": percentiles(seen.job_s),
        "job_overhead_ms": beyond(percentiles(seen.job_s), base),
        "spared": seen.spared,
        "refused": {str(status): count for status, count in sorted(seen.refused.items())},
        "errors": dict(seen.errors + direct.errors),
    }


def percentiles(found_s: Sequence[float]) -> dict[str, float]:
    """By nearest rank, in milliseconds; empty where nothing was seen."""
    ordered = sorted(found_s)
    if not ordered:
        return {}
    return {
        f"p{share}": round(ordered[min(-(-share * len(ordered) // 100), len(ordered)) - 1] * 1e3, 1)
        for share in (50, 95, 99)
    }


def beyond(whole: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    """What is above the model alone, percentile by percentile."""
    return {name: round(value - base[name], 1) for name, value in whole.items() if name in base}


def text(row: Row) -> str:
    """One crowd as lines."""
    lines = [f"{row['users']} users, {row['tenants']} tenants: {row['answers']} answers in {row['seconds']} s"]
    lines[0] += f" ({row['per_second']}/s)"
    for name in LATENCIES:
        found = row[name]
        assert isinstance(found, dict), "percentiles"
        shown = "  ".join(f"{share} {value:>9,.1f}" for share, value in found.items()) or "nothing was seen"
        lines.append(f"  {name:<18} {shown}")
    lines.append(f"  refused            {row['refused'] or 'none'}; errors {row['errors'] or 'none'}")
    lines.append(f"  without the model  {row['spared']} jobs")
    lines.append(
        f"  service            {row['service_cpu_s']} s of processor; memory {row['memory_idle_mib']} MiB idle, "
        f"{row['memory_peak_mib']} MiB at most, {row['memory_per_user_kib']} KiB per user"
    )
    return "\n".join(lines)
