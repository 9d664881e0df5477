"""Answers of a Prometheus as rows of our tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from clusterctl.store.promql import NODE_LABELS, QUERIES
from planners.telemetry.tables import TABLES, IdleReason, schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

YEAR_3000 = 32_503_680_000
"""Unix seconds; later ones don't fit everywhere."""
MOST = 1e300
"""Larger values are no measurement, and their sums are infinite."""
ALL_RATIO = 0.98
"""Of a step: from here on it counts as all of it, since Prometheus extrapolates to a step's ends."""


MOST_KINDS = 4
"""Scrape intervals of one job that are told apart in one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSeries:
    """One series of an answer."""

    labels: dict[str, str]
    ats: list[float]
    """Unix seconds."""
    values: list[float]


def parse(data: Mapping[str, Any]) -> list[PrometheusSeries]:
    """The series of an answer, a matrix or a vector.  Raises ValueError, TypeError, LookupError,
    ArithmeticError or AttributeError for what is none."""
    found = []
    for one in data["result"]:
        pairs = one["values"] if data["resultType"] == "matrix" else [one["value"]]
        samples = [(float(at), float(value)) for at, value in pairs]
        if not all(0 < at < YEAR_3000 for at, _ in samples):
            raise ValueError("a time that is none")
        known = [(at, value) for at, value in samples if abs(value) < MOST]  # NaN and infinity are absent
        labels = {_encodable(name): _encodable(text) for name, text in one["metric"].items()}
        found.append(PrometheusSeries(labels=labels, ats=[at for at, _ in known], values=[value for _, value in known]))
    return found


def _encodable(text: object) -> str:
    """As text that UTF-8 can hold: JSON may hold half a character."""
    return str(text).encode("utf-8", "replace").decode()


def rows(
    table: str, answers: Mapping[str, Sequence[PrometheusSeries]], *, intervals: pl.DataFrame, step_seconds: int
) -> pl.DataFrame:
    """Rows of a table: one per step, owner and reason.

    answers: by column, with `present` (samples in a step) and, for GPUs, `idle` (seconds in a step, by reason) and
    `still` (share of a step's samples).  intervals: of `intervals`; an owner that came within a step gets its samples'
    share of it.
    """
    owners = _Owners(table)
    present = owners.samples(answers["present"]).group_by("id", "at").agg(pl.col("value").max())
    frame = present.join(owners.frame(), on="id")
    frame = frame.join(intervals, on=["job", "at"], how="left")
    seconds = (pl.col("value") * pl.col("interval")).clip(upper_bound=float(step_seconds))
    frame = frame.with_columns(seconds=seconds).drop("value", "interval").filter(pl.col("seconds") > 0)
    for name in QUERIES[table]:
        if answers.get(name):
            values = owners.samples(answers[name]).group_by("id", "at").agg(pl.col("value").max().alias(name))
            frame = frame.join(values, on=["id", "at"], how="left")
    best = [pl.col("rank").min().over("node", "gpu", "at"), pl.col("job").min().over("node", "gpu", "rank", "at")]
    frame = frame.filter(pl.col("rank") == best[0]).filter(pl.col("job") == best[1])
    if table == "gpu":
        if "energy_j" in frame.columns:
            frame = frame.with_columns(_energy(step_seconds, "power_w" in frame.columns))
        still = owners.samples(answers.get("still", ())).group_by("id", "at").agg(still=pl.col("value").max())
        frame = _with_reasons(frame.join(still, on=["id", "at"], how="left"), owners.samples(answers.get("idle", ())))
    return frame.select(_typed(name, frame.columns, table) for name in TABLES[table])


def devices(answers: Mapping[str, Sequence[PrometheusSeries]], at: datetime) -> pl.DataFrame:
    """A row for each GPU: its labels, and the sum of its used, free and reserved memory."""
    found: dict[tuple[str | None, str | None], dict[str, Any]] = {}
    for position, one in ((position, one) for position, answer in answers.items() for one in answer):
        labels = one.labels
        row = found.setdefault((node_of(labels), gpu_of(labels)), {"at": at, "fb_total_mib": {}})
        row |= {
            "node": node_of(labels),
            "gpu": gpu_of(labels),
            "uuid": labels.get("UUID"),
            "model": labels.get("model") or labels.get("modelName"),
            "driver": labels.get("DCGM_FI_DRIVER_VERSION"),
            "mig_profile": labels.get("GPU_I_PROFILE"),
        }
        row["fb_total_mib"][position] = one.values[-1] if one.values else math.nan
    for row in found.values():
        whole, parts = sum(row["fb_total_mib"].values()), len(row["fb_total_mib"])
        row["fb_total_mib"] = round(whole) if parts > 1 and 0 <= whole < 2**32 - 1 else None
    return pl.DataFrame(list(found.values()), schema=schema("devices"))


class _Owners:
    """Numbers for whose GPU, host or sandbox it is, as the labels of series say it: joins compare one column."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._ids: dict[tuple[object, ...], int] = {}

    def samples(self, answer: Sequence[PrometheusSeries]) -> pl.DataFrame:
        """Columns id, reason, at (ms) and value: a row per sample."""
        columns = {
            "id": pl.Series([self._id(one.labels) for one in answer], dtype=pl.UInt32),
            "reason": pl.Series([one.labels.get("reason", "") for one in answer], dtype=pl.String),
            "at": pl.Series([one.ats for one in answer], dtype=pl.List(pl.Float64)),
            "value": pl.Series([one.values for one in answer], dtype=pl.List(pl.Float64)),
        }
        samples = pl.DataFrame(columns).explode("at", "value").drop_nulls("at")
        return samples.with_columns((pl.col("at") * 1000).round().cast(pl.Int64))

    def frame(self) -> pl.DataFrame:
        """Columns id, node, gpu, run, role, job, rank: of two exporters of one GPU, the agent comes first."""
        columns = dict.fromkeys(("node", "gpu", "run", "role", "job", "instance"), pl.String) | {"rank": pl.Int64}
        return pl.DataFrame(list(self._ids), schema=columns, orient="row").with_row_index("id")

    def _id(self, labels: dict[str, str]) -> int:
        gpu = gpu_of(labels) if self._table == "gpu" else None
        run, role = owner_of(labels) if self._table != "host" else (None, None)
        key = (node_of(labels), gpu, run, role, job_of(labels), labels.get("instance"), int("model" not in labels))
        return self._ids.setdefault(key, len(self._ids))


Fullest = dict[tuple[str, float], tuple[float, PrometheusSeries]]
"""By job and end of a step (Unix seconds): the most samples that a series of the job has in it, and such a series."""


def fullest(present: Sequence[PrometheusSeries]) -> Fullest:
    """The fullest series of each step of each job."""
    found: Fullest = {}
    for one in present:
        job = job_of(one.labels)
        for at, count in zip(one.ats, one.values, strict=True):
            if count > found.get((job, at), (0.0,))[0]:
                found[job, at] = count, one
    return found


def kinds_of_steps(steps: Fullest) -> dict[tuple[str, float], tuple[PrometheusSeries, float]]:
    """By job and number of samples: a series that has so many in a step, and that step's end.

    Numbers within a tenth of each other are one, and of a job the most frequent MOST_KINDS count.
    """
    often = Counter((job, count) for (job, _), (count, _) in steps.items())
    examples = {(job, count): (one, at) for (job, at), (count, one) in steps.items()}
    found: dict[tuple[str, float], tuple[PrometheusSeries, float]] = {}
    for (job, count), _ in often.most_common():
        near = [other for of, other in found if of == job]
        if len(near) < MOST_KINDS and all(abs(other - count) > 0.1 * max(other, count) for other in near):
            found[job, count] = examples[job, count]
    return found


def intervals(steps: Fullest, measured: Mapping[tuple[str, float], float]) -> pl.DataFrame:
    """job, at (ms), interval (s) of each step, by the number of samples nearest to its own that was measured."""
    rows = []
    for (job, at), (count, _) in steps.items():
        known = [other for of, other in measured if of == job]
        _, nearest = min((abs(other - count), other) for other in known)
        rows.append((job, round(at * 1000), measured[job, nearest]))
    return pl.DataFrame(rows, schema={"job": pl.String, "at": pl.Int64, "interval": pl.Float64}, orient="row")


def interval_seconds(samples: Sequence[PrometheusSeries], longest: float | None = None) -> float:
    """Time between two samples; where there are not two, `longest`, or what Prometheus scrapes at by default.

    longest: the mean is wanted, for a step in which the interval changed; what is longer than this is a gap.  Else
    the usual time.
    """
    steps = [step for one in samples for step in np.diff(one.ats)]
    if not steps:
        return longest or 60.0
    whole = [step for step in steps if longest is None or step <= 1.5 * longest]
    return float(np.median(steps) if longest is None or not whole else np.mean(whole))


def _energy(step_seconds: int, has_power: bool) -> pl.Expr:
    """What the counter rose by; where a GPU changed hands within the step, which the counter does not tell apart, the
    mean power × the seconds."""
    power = pl.col("power_w") * pl.col("seconds") if has_power else pl.lit(None, pl.Float64)
    return (
        pl.when(pl.col("seconds") > ALL_RATIO * step_seconds)
        .then(pl.col("energy_j"))
        .otherwise(power)
        .alias("energy_j")
    )


def _with_reasons(frame: pl.DataFrame, idle: pl.DataFrame) -> pl.DataFrame:
    """Split each row into what worked and what idled for each reason.

    What no agent watches has no reasons: it idles in the share of samples in which it did nothing.  The reason is
    unknown; where its exporter names pods that hold GPUs, and names none for it, nobody holds it.
    """
    names_pods = frame.filter(pl.col("run").str.contains("/"))["job"].unique()
    free = pl.col("run").is_null() & pl.col("job").is_in(names_pods.implode())
    nobody, unknown = pl.lit(IdleReason.NO_PROCESS.value), pl.lit(IdleReason.UNKNOWN.value)
    known = idle.filter(pl.col("value") > 0).group_by("id", "at", "reason").agg(pl.col("value").sum())
    parts = frame.join(known, on=["id", "at"], how="inner")
    idle_seconds = pl.col("value").sum().over("id", "at")
    # Prometheus extrapolates increases: what idled nearly all the time, or more, idled all of it
    factor = pl.when(idle_seconds > ALL_RATIO * pl.col("seconds")).then(pl.col("seconds") / idle_seconds).otherwise(1.0)
    parts = parts.with_columns(part=pl.col("value") * factor)
    idled = parts.group_by("id", "at").agg(pl.col("part").sum().alias("idled"))
    rest = frame.join(idled, on=["id", "at"], how="left").with_columns(
        part=pl.col("seconds") - pl.col("idled").fill_null(0.0)
    )
    still = pl.when(pl.col("idled").is_null()).then(pl.col("still").clip(0.0, 1.0)).fill_null(0.0)
    unexplained = rest.with_columns(reason=pl.when(free).then(nobody).otherwise(unknown), part=pl.col("part") * still)
    worked = rest.with_columns(reason=pl.lit(None, pl.String), part=pl.col("part") * (1.0 - still))
    columns = [*frame.columns, "reason", "part"]
    split = pl.concat([each.select(columns) for each in (parts, unexplained, worked)]).filter(pl.col("part") > 1e-6)
    sums = [name for name in ("energy_j", "ecc_errors") if name in frame.columns]
    share = pl.col("part") / pl.col("seconds")
    return split.with_columns(*((pl.col(name) * share).alias(name) for name in sums), pl.col("part").alias("seconds"))


def _typed(name: str, columns: Sequence[str], table: str) -> pl.Expr:
    """A column with its table's type.  What is no number of it is absent: DCGM says 2^63 for what it does not know."""
    dtype = TABLES[table][name].dtype
    if name == "at":
        return pl.col("at").cast(dtype)
    if name not in columns:
        return pl.lit(None, dtype).alias(name)
    if not dtype.is_integer():
        return pl.col(name).cast(dtype) if dtype == pl.String else pl.col(name).fill_nan(None).cast(dtype)
    value = pl.col(name).fill_nan(None).round()
    possible = (value >= 0) & (value < 2.0 ** min(int(str(dtype).removeprefix("UInt")), 62))
    return pl.when(possible).then(value).cast(dtype).alias(name)


def node_of(labels: dict[str, str]) -> str | None:
    """Whose series it is; without a label of the exporter's, the target's address without its port."""
    named = next((labels[label] for label in NODE_LABELS if labels.get(label)), None)
    instance = labels.get("exported_instance") or labels.get("instance", "")
    return named or re.sub(r":\d+$", "", instance) or None


def job_of(labels: dict[str, str]) -> str:
    """Which scrape job told it; empty where none is named."""
    return labels.get("job", "")


def gpu_of(labels: dict[str, str]) -> str | None:
    """`3`, or `3:1` for instance 1 of its MIG instances."""
    gpu, instance = labels.get("gpu"), labels.get("GPU_I_ID")
    return f"{gpu}:{instance}" if gpu and instance else gpu


def owner_of(labels: dict[str, str]) -> tuple[str | None, str | None]:
    """Run and role; where no agent says them, the pod is the run: `namespace/pod`.

    Prometheus calls the pod that holds a GPU `exported_pod`, since `pod` is the exporter's own, unless it was told to
    honour labels; a free GPU has no `exported_pod`, and its `pod` is the exporter's.
    """
    said = {name: labels.get(f"exported_{name}") or labels.get(name) for name in ("run", "role")}
    if said["run"] or said["role"]:
        return said["run"], said["role"]
    for prefix in ("exported_", ""):
        pod = labels.get(f"{prefix}pod")
        if pod and (prefix or "exporter" not in pod):
            return f"{labels.get(f'{prefix}namespace', '')}/{pod}", None
    return None, None
