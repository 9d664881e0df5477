"""Malformed files that are imported, and stores that have decayed: offers, bills, the ledger, telemetry."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import yaml
from attack import Attack
from mutations import BYTES, broken, broken_bytes

from clusterctl.costs.imported_bills import import_bills
from clusterctl.dashboard.sample import load_sample
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import FactorRow
from clusterctl.store import compact, open_store, partitions

REPO = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAME = "simulated-rlcef-32b"
OFFERS = b"""cloud,region,instance_type,capacity_type,usd_per_hour,as_of,source,gpu,num_gpus,vcpus,memory_gib
lambda,us-east-1,gpu_8x_h100,on_demand,23.92,2026-11-20,lambda.ai,H100,8,208,1800
acme,any,big,spot,1.5,2026-11-20,"a, b",,,64,256
"""
BILL = b"""bill_payer_account_id,bill_invoice_id,bill_billing_period_start_date,bill_billing_period_end_date,line_item_usage_start_date,\
line_item_usage_end_date,line_item_unblended_cost,line_item_currency_code,line_item_resource_id,line_item_line_item_type,\
line_item_product_code,line_item_usage_type,resource_tags
123,INV-7,2026-08-01T00:00:00Z,2026-09-01T00:00:00Z,2026-08-04T12:00:00Z,2026-08-04T14:00:00Z,98.123,USD,i-1,Usage,AmazonEC2,BoxUsage:p5,"{""user_clusterctl.dev/run"": ""simulated-rlcef-32b""}"
123,INV-7,2026-08-01T00:00:00Z,2026-09-01T00:00:00Z,2026-08-04T12:00:00Z,2026-08-04T14:00:00Z,1.0E-2,USD,vol-1,Usage,AmazonEC2,EBS:VolumeUsage.gp3,{}
123,INV-7,2026-08-01T00:00:00Z,2026-09-01T00:00:00Z,2026-08-05T12:00:00Z,2026-08-05T14:00:00Z,-3.5,USD,b,Credit,AmazonS3,TimedStorage-ByteHrs,
"""
TEXTS = (
    "", " ", "-5", "NaN", "inf", "1e999", "1e30", "-1e15", "9" * 5000, "0000-00-00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-08-04",
    "1969-12-31T00:00:00Z", "2026-08-04T12:00:00+99:99", "EUR", "=1+1", "\x00", "\ud7ff", "\u202e", "[[", "{", '"', "[1]", "{\"a\": NaN}", "[" * 9000,
)  # fmt: skip
COLUMNS: tuple[pl.Series, ...] = (
    pl.Series([True, None, False]), pl.Series([1, 2, 3]), pl.Series([1e300, float("nan"), -1.0]), pl.Series([[1], [], None]), pl.Series([b"\xff", b"", b"a"]),
    pl.Series([{"a": 1}] * 3), pl.Series([None] * 3), pl.Series([NOW] * 3), pl.Series([NOW.date()] * 3), pl.Series([timedelta(1)] * 3),
    pl.Series([NOW.time()] * 3), pl.Series(["a", "b", "c"], dtype=pl.Categorical), pl.Series([2**63 - 1, -(2**63), 0]), pl.Series([["a"], ["b"], None]),
    pl.Series([[{"key": "a", "value": 1}], [{"key": None, "value": None}], None]),
)  # fmt: skip
COMMANDS = (
    "status", "status --json", f"status {NAME}", f"cost {NAME} --explain", "cost --by team --by model", "cost --json", f"events {NAME}", "sweep",
    "bill show", "calibrate", "calibrate --list", f"logs {NAME}", "down nobody", f"up {REPO / 'templates/specs/quickstart.yaml'} --dry-run",
)  # fmt: skip


def _broken_cells(content: bytes, rng: random.Random) -> bytes:
    """A CSV with some cells, columns or rows wrong."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(rng.choice((1, 1, 2, 6))):
        row = rng.choice(rows[1:])
        kind = rng.random()
        if kind < 0.7:
            row[rng.randrange(len(row))] = rng.choice(TEXTS)
        elif kind < 0.8:
            rows[0][rng.randrange(len(rows[0]))] = rng.choice([*rows[0], *TEXTS])
        elif kind < 0.9:
            rows.extend([row] * rng.choice((1, 300)))
        else:
            row.extend(["x"] * rng.randrange(1, 4))
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def _broken_csv(content: bytes, rng: random.Random) -> bytes:
    return (
        rng.choice(BYTES)
        if rng.random() < 0.1
        else rng.choice((_broken_cells, _broken_cells, broken_bytes))(content, rng)
    )


def offers(rng: random.Random, folder: Path) -> Attack:
    """A CSV of offers."""
    (folder / "offers.csv").write_bytes(_broken_csv(OFFERS, rng))
    return Attack(args=["prices", "import", str(folder / "offers.csv"), "--dry-run"])


def bill(rng: random.Random, folder: Path) -> Attack:
    """A bill as CSV, packed or not, or as Parquet, seldom: each takes a process."""
    if rng.random() < 0.1:
        return bill_parquet(rng, folder)
    file, content = folder / rng.choice(("bill.csv", "bill.csv.gz")), _broken_csv(BILL, rng)
    if rng.random() < 0.4:
        content = gzip.compress(content if rng.random() < 0.9 else bytes(60 << 20), 1)
        content = broken_bytes(content, rng) if rng.random() < 0.6 else content
    file.write_bytes(content)
    return _import(file, rng)


def bill_parquet(rng: random.Random, folder: Path) -> Attack:
    """A bill as Parquet: columns of other types, or damaged bytes."""
    rows, out = pl.read_csv(BILL, infer_schema=rng.random() < 0.5), io.BytesIO()
    if rng.random() < 0.6:
        rows = rows.with_columns(rng.choice(COLUMNS).alias(rng.choice(rows.columns)) for _ in range(1))
    rows.write_parquet(out)
    content = out.getvalue() if rng.random() < 0.6 else broken_bytes(out.getvalue(), rng)
    (folder / "bill.parquet").write_bytes(content)
    return _import(folder / "bill.parquet", rng)


def _import(file: Path, rng: random.Random) -> Attack:
    (file.parent / "ledger.db").write_bytes(_good_ledger())
    more = rng.choice(([], ["--json"]))
    return Attack(
        args=["bill", "import", str(file), *more], environ={"CLUSTERCTL_LEDGER": str(file.parent / "ledger.db")}
    )


@cache
def _good_ledger() -> bytes:
    """The simulated day with a bill and a calibration, without the constraints that a damaged file would not keep."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load_sample(folder)
        (folder / "bill.csv").write_bytes(BILL)
        with open_ledger(str(folder / "ledger.db")) as ledger:
            import_bills(ledger, [folder / "bill.csv"], NOW)
            texts = dict.fromkeys(("work", "phase", "model_class", "engine", "sandbox_profile", "inputs", "gpu"), "x")
            factor = FactorRow(
                calibration_id="c", **texts, log_factor=0.1, log_sd=0.1, ratios={"a": 1.1}, applied_at=NOW
            )
            ledger.put_factors([factor])
        with closing(sqlite3.connect(folder / "ledger.db")) as database:
            database.executescript(
                "PRAGMA journal_mode = DELETE; PRAGMA writable_schema = ON;"
                "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table';"
            )
        return (folder / "ledger.db").read_bytes()


def ledger(rng: random.Random, folder: Path) -> Attack:
    """A ledger with flipped bytes, cut off, with foreign pages, or with values of other types."""
    file, content = folder / "ledger.db", bytearray(_good_ledger())
    kind = rng.random()
    if kind < 0.35:
        for _ in range(rng.choice((1, 1, 3, 20, 200))):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif kind < 0.4:
        del content[rng.randrange(len(content)) :]
    elif kind < 0.5:
        at = rng.randrange(len(content) // 4096) * 4096
        content[at : at + 4096] = rng.choice((bytes(4096), rng.randbytes(4096), content[:4096]))
    file.write_bytes(content)
    if kind >= 0.5:
        _break_value(file, rng)
    environ = {"CLUSTERCTL_LEDGER": str(file), "CLUSTERCTL_TELEMETRY": str(folder / "telemetry")}
    return Attack(args=rng.choice(COMMANDS).split(), environ=environ)


def _break_value(file: Path, rng: random.Random) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = rng.choice(tables)
        column = rng.choice([row[1] for row in database.execute(f"PRAGMA table_info({table})")])
        values = [*TEXTS, None, -1, 0, 2**63 - 1, 1e308, float("inf"), b"\xff\xfe", "up", "gone"]
        try:
            database.execute(
                f"UPDATE {table} SET {column} = ? WHERE rowid % ? = 0", (rng.choice(values), rng.choice((1, 1, 2, 7)))
            )
            database.commit()
        except (sqlite3.Error, UnicodeError):
            pass  # one value twice in a unique column: this ledger is good


@cache
def _good_store() -> Path:
    """A small store: compacted and fresh, all tables.  It stays for the process."""
    folder = Path(tempfile.mkdtemp(prefix="clusterctl-fuzz-store-"))
    with open_store(str(folder)) as store:
        for hours in (0, 1, 30):
            at = datetime.now(tz=UTC) - timedelta(hours=hours, minutes=5)
            store.append(
                "gpu", pl.DataFrame({"at": [at], "node": "n", "gpu": "0", "run": NAME, "seconds": 10.0, "power_w": 300})
            )
            store.append("host", pl.DataFrame({"at": [at], "node": "n", "seconds": 10.0, "cpu_pct": 5.0}))
            store.append("notes", pl.DataFrame({"at": [at], "node": "n", "kind": "gap", "text": "x"}))
            store.append("devices", pl.DataFrame({"at": [at], "node": "n", "gpu": "0", "model": "H100"}))
        store.flush()
        store.compact(datetime.now(tz=UTC))
        store.append("gpu", pl.DataFrame({"at": [at], "node": "m", "gpu": "0", "seconds": 10.0}))
    return folder


def telemetry(rng: random.Random, folder: Path) -> Attack:
    """A store of which a file is damaged, of another type under a right checksum, a strange manifest, or misnamed."""
    store = folder / "telemetry"
    shutil.copytree(_good_store(), store, dirs_exist_ok=True)
    victim = rng.choice(
        sorted(file for file in store.rglob("*") if file.is_file() and file.suffix in {".parquet", ".json"})
    )
    kind = rng.random()
    if kind < 0.3:
        victim.write_bytes(broken_bytes(victim.read_bytes(), rng))
    elif victim.suffix == ".json":
        line = broken(victim.read_bytes().partition(b"\n")[0], rng).replace(b"\n", b" ") + b"\n"
        victim.write_bytes(line + partitions._checksum(line).encode() + b"\n")
    elif kind < 0.9:
        rows = pl.read_parquet(victim)
        names = [name for name in rows.columns if rng.random() < 0.2] or ["at"]
        rows = rows.with_columns(rng.choice(COLUMNS).gather([0] * len(rows)).alias(name) for name in names)
        content = compact.to_parquet(rows)
        victim.unlink()
        stem = victim.name.rpartition("-")[0]
        victim.with_name(f"{stem}-{partitions._checksum(content)}.parquet").write_bytes(content)
    else:
        victim.rename(
            victim.with_name(rng.choice(("m-999999.json", "s-x-1-00000000.parquet", "c-600-x-y.parquet", "x" * 200)))
        )
    table, step = rng.choice(("gpu", "host", "notes", "devices")), rng.choice(("0", "60", "600"))
    export = ["export", table, "--since", "3d", "--step", step, "--format", rng.choice(("csv", "json"))]
    args = rng.choice((["status", "--json"], ["compact"], export, [*export, "--run", NAME]))
    return Attack(args=["telemetry", *args, "--store", str(store)])


def config(rng: random.Random, folder: Path) -> Attack:
    """A model's config.json, or measured lengths, beside a good spec."""
    given = {
        "hidden_size": 64,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "model_type": "llama",
    }
    is_config, config_json = rng.random() < 0.6, json.dumps(given).encode()
    (folder / "config.json").write_bytes(broken(config_json, rng) if is_config else config_json)
    lengths = b"length,b\n5,1\n7,2\n9,3\n"
    (folder / "lengths").write_bytes(lengths if is_config else _broken_csv(lengths, rng))
    spec = yaml.safe_load((REPO / "templates" / "specs" / "rlcef.yaml").read_bytes())
    spec["stages"][0] |= {"model": "./config.json"}
    spec["stages"][0]["response_tokens"] = {"file": "lengths", "column": rng.choice(("length", "length", "b", "c"))}
    (folder / "run.yaml").write_text(yaml.safe_dump(spec))
    return Attack(args=["plan", str(folder / "run.yaml"), "--json"])


TARGETS = {
    "bill": bill, "config": config, "ledger": ledger, "offers": offers, "telemetry": telemetry,
}  # fmt: skip
