"""One refresh from end to end: read, merge, check, write.  Until the last step nothing that exists is touched."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from clusterctl.catalog.book_folder import embedded_dir, open_volume, refreshed_dir
from clusterctl.catalog.check_book import check_book
from clusterctl.catalog.lookup import load_gpus
from clusterctl.catalog.price_book import PriceBook, load_book
from clusterctl.catalog.price_files import BookFrames, write_book
from clusterctl.catalog.refresh.aws import read_aws
from clusterctl.catalog.refresh.azure import read_azure
from clusterctl.catalog.refresh.endpoint import transport_to
from clusterctl.catalog.refresh.gcp import read_gcp
from clusterctl.catalog.refresh.merge import PriceChanges, merge
from clusterctl.catalog.refresh.offer_file import read_offer_file, with_shapes
from clusterctl.catalog.refresh.reading import Asked, Cache, Reading, stays
from clusterctl.catalog.refresh.transport import Transport
from clusterctl.errors import PriceError, StateError
from clusterctl.ui.terminal import progress

SOFT_RULES = {"spot ≤ on-demand", "reserved ≤ on-demand"}
"""Rules that a cloud's own list may break: `prices check` says so, but a refresh goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """What a refresh did.  `book` None: a dry run wrote nothing."""

    book: Path | None
    changes: tuple[PriceChanges, ...]
    movers: pl.DataFrame
    notes: tuple[str, ...]


def refresh(
    clouds: Sequence[str],
    *,
    now: datetime,
    regions: Collection[str] | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> RefreshReport:
    """Read the clouds' prices, in all or these regions, and write a new dated book to `out`, else to this user's books.

    Raises PriceError (a price source failed or sent nonsense) or StateError (another refresh is running); then
    every book is as it was, and pages that were read are kept for a rerun on the same day.
    """
    transports = [transport_to(cloud, sleep=sleep) for cloud in clouds]
    target = _target(out, now)
    with _alone():
        book, notes = _old_book()
        old, shapes = book.frames(), book.all_shapes()
        unfinished = _unfinished(now)
        readings = [
            _read(each, regions, shapes.filter(cloud=each.cloud), unfinished, now.date()) for each in transports
        ]
        new, changes, movers = merge(old, readings)
        _refuse_broken(new, now)
        if not dry_run:
            _write(new, target)
            shutil.rmtree(unfinished)
    return RefreshReport(book=None if dry_run else target, changes=changes, movers=movers, notes=notes)


def import_offers(path: Path, *, now: datetime, out: Path | None = None, dry_run: bool = False) -> RefreshReport:
    """Put the offers of a CSV file into a new dated book: they replace the prices of the same machines.

    Raises PriceError (a line is wrong, or the book would be) or StateError (a refresh is running); then every book is
    as it was.
    """
    offers = read_offer_file(path)
    target = _target(out, now)
    with _alone():
        book, notes = _old_book()
        old = book.frames()
        new, changes, movers = merge(replace(old, shapes=with_shapes(old.shapes, offers.shapes)), offers.readings)
        _refuse_broken(new, now, whose=str(path))
        if not dry_run:
            _write(new, target)
    return RefreshReport(book=None if dry_run else target, changes=changes, movers=movers, notes=notes)


READERS = {"aws": read_aws, "azure": read_azure, "gcp": read_gcp}


def _read(
    transport: Transport, regions: Collection[str] | None, shapes: pl.DataFrame, unfinished: Path, today: date
) -> Reading:
    cloud = transport.cloud
    question = "\n".join([transport.base_url, *shapes["instance_type"].sort()])
    cache = Cache(unfinished / f"{cloud}-{hashlib.sha256(question.encode()).hexdigest()[:12]}")
    with closing(transport), progress(f"reading {cloud} prices", total=100) as draw:
        shown = 0

        def advance(done: int, total: int) -> None:
            nonlocal shown
            percent = 100 * done // total
            draw(percent - shown)
            shown = percent

        return READERS[cloud](
            Asked(transport=transport, cache=cache, shapes=shapes, regions=regions, today=today, advance=advance)
        )


def _old_book() -> tuple[PriceBook, tuple[str, ...]]:
    """The book in use; the embedded one, and a note, when the refreshed one can't be read."""
    try:
        return load_book(), ()
    except StateError as error:
        return load_book(embedded_dir()), (f"started from the embedded book: {error.message}",)


def _target(out: Path | None, now: datetime) -> Path:
    """Folder of the new book.  Raises PriceError when it is taken or belongs to the package."""
    if out is None:
        return refreshed_dir() / f"prices-{now:%Y-%m-%dT%H%M%SZ}"
    target = out.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PriceError(f"{out} exists and isn't an empty folder", hint="choose another --out")
    if target.is_relative_to(embedded_dir().parent.parent):
        raise PriceError(f"{out} lies inside the installed package", hint="choose another --out")
    return target


def _refuse_broken(new: BookFrames, now: datetime, *, whose: str = "what the clouds sent") -> None:
    findings = check_book(new, known_gpus=load_gpus().keys(), today=now.date())
    for finding in findings:
        if finding.level == "broken" and finding.rule not in SOFT_RULES:
            raise stays(f"{whose} breaks the rule `{finding.rule}`: {finding.detail}")


def _write(new: BookFrames, target: Path) -> None:
    """Write beside the target, then rename: a book is there whole or not at all."""
    begun = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write_book(new, begun, base=open_volume(embedded_dir()).manifest.book_id)
        if target.is_dir():
            target.rmdir()  # --out named an empty folder
        begun.rename(target)
    except OSError as error:
        raise stays(f"cannot write {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def _unfinished(now: datetime) -> Path:
    """Folder for this day's pages; those of other days are deleted, because they are no longer today's prices."""
    folder = refreshed_dir() / "unfinished"
    today = folder / f"{now:%Y-%m-%d}"
    for found in folder.glob("*"):
        if found != today:
            shutil.rmtree(found, ignore_errors=True)
    today.mkdir(parents=True, exist_ok=True)
    return today


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of this user's book folder.  Raises StateError when another refresh holds it."""
    folder = refreshed_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / ".lock", blocking=False).acquire()
    except Timeout as error:
        raise StateError("another `prices refresh` is running", hint="wait until it is done") from error
    except OSError as error:
        raise StateError(f"cannot write {folder}: {error.strerror}", hint="set CLUSTERCTL_HOME") from error
    with held:
        yield
