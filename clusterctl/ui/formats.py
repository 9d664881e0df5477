"""Numbers, dollars and times as people read them: with a unit, and `unknown` where a value is None.

Estimates have three significant digits (`usd`, `number`); what was charged is exact (`exact_usd`, `charged_usd`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from planners.plan.plan_rows import Band

UNKNOWN = "unknown"
MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 3) -> str:
    """`1,152`, `61.4`, `0.0042`, `2.46 G`: `digits` significant digits; whole numbers below a million in full."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    for factor, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M")):
        if size >= factor * (1 - 0.5 * 10**-digits):
            return f"{_plain(value / factor, digits)}{suffix}"
    return _plain(value, digits)


def _plain(value: float, digits: int) -> str:
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) < 1e-6:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, decimals):,.{max(decimals, 0)}f}"
    return text.rstrip("0").rstrip(".") if digits > 3 and "." in text else text


def usd(value: float | None, digits: int = 3) -> str:
    """`$15,400`, `$4.28`, `$0.023`, `$1.54M`: three significant digits; below $100 to the cent at least."""
    if value is None:
        return UNKNOWN
    sign, size = (MINUS if value < 0 else ""), abs(value)
    for factor, suffix in ((1e9, "B"), (1e6, "M")):
        if size >= factor * (1 - 0.5 * 10**-digits):
            scaled = max(size / factor, 1.0)  # 0.9999 million rounds to one
            return f"{sign}${scaled:.{max(digits - 1 - math.floor(math.log10(scaled)), 0)}f}{suffix}"
    if size == 0:
        return "$0"
    decimals = digits - 1 - math.floor(math.log10(size))
    if size < 100:
        decimals = max(decimals, 2)
    return f"{sign}${round(size, decimals):,.{max(decimals, 0)}f}"


def least_usd(value: float | None, *, at_least: bool) -> str:
    """`$15,400`; where a price is unknown, `at least $15,400`, or `unknown` if nothing has one."""
    if value is None or (at_least and value == 0):
        return UNKNOWN
    return f"at least {usd(value)}" if at_least else usd(value)


def exact_usd(amount: Decimal | float | None, places: int | None = None) -> str:
    """`$13,650`, `$30.56`, `$0.0021`, `−$480`: with `places` decimals.

    None: to the dollar from $100 on, to the cent from ten cents on, so that lines of a bill add up; else four decimals.
    """
    if amount is None:
        return UNKNOWN
    size = -amount if amount < 0 else amount
    if places is None:
        places = 0 if size >= 100 else 4 if 0 < size < 0.1 else 2
    return f"{MINUS if amount < 0 else ''}${size:,.{places}f}"


def charged_usd(
    amount: Decimal | float | None, *, known: Decimal | float | None = None, places: int | None = None
) -> str:
    """`$3.2000`: what was charged; of an unknown amount the part that is known: `at least $3.2000`, or `unknown`."""
    if amount is not None:
        return exact_usd(amount, charged_places(amount) if places is None else places)
    return f"at least {charged_usd(known, places=places)}" if known else UNKNOWN


def charged_places(amount: Decimal | float) -> int:
    """Decimals that show a charge of this size: cents where there are many, more where there are few."""
    return 2 if amount >= 10 else 4 if amount >= 0.1 or amount == 0 else 6


def unit_price(value: Decimal | float | None) -> str:
    """`$55.04`, `$4.284`, `$0.023`: cents at least, and no digit of a price lost."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.6f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"${whole}.{decimals.ljust(2, '0')}"


def signed(text: str, value: float) -> str:
    """`+$180`, `−3.2 h`: `text` is the number without its sign."""
    return f"{MINUS if value < 0 else '+'}{text}"


def signed_usd(value: float | None) -> str:
    """`+$2,900` or `−$480`; `=` when nothing differs."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    return "=" if size < 0.005 else signed(f"${size:.2f}" if size < 100 else usd(size), value)


def percent(share: float | None, digits: int = 2) -> str:
    """`53%`, `3.1%`, `<0.1%`, `99.8%`: never 0 or 100 for what is not; `digits` significant ones below ten percent."""
    if share is None:
        return UNKNOWN
    value = share * 100
    if 0 < abs(value) < 0.1:
        return "<0.1%"
    if 99.5 <= abs(value) < 100:
        return f"{value:.1f}%" if abs(value) < 99.95 else ">99.9%"
    return f"{value:.0f}%" if abs(value) >= 9.95 or value == int(value) else f"{value:.{max(digits - 1, 0)}f}%"


def signed_percent(ratio: float) -> str:
    """`+12%`, `−4%`, `×11` of a ratio new / old."""
    change = ratio - 1
    if ratio >= 4:
        return f"×{number(ratio, 2)}"
    return "=" if abs(change) < 0.0005 else signed(percent(abs(change)), change)


class DurationUnit(NamedTuple):
    """A unit of time in which a column of durations is written."""

    name: str
    word: str
    """For the axis of a picture."""
    seconds: float
    upto_seconds: float
    """Longer durations read better in the next unit."""

    def of(self, seconds: float) -> str:
        """The amount without the unit, two significant digits, three from 100 on."""
        value = seconds / self.seconds
        if value >= 9.95:
            return f"{value:,.0f}"
        return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"

    def text(self, seconds: float) -> str:
        """The amount with the unit: `4.2 h`."""
        return f"{self.of(seconds)} {self.name}"


UNITS = (
    DurationUnit("ms", "milliseconds", 1e-3, 0.1),
    DurationUnit("s", "seconds", 1.0, 90),
    DurationUnit("min", "minutes", 60.0, 5400),
    DurationUnit("h", "hours", 3600.0, 48 * 3600),
    DurationUnit("d", "days", 86400.0, math.inf),
)


def duration_unit(seconds: float) -> DurationUnit:
    """The unit in which `seconds` reads best."""
    return next((unit for unit in UNITS if seconds < unit.upto_seconds), UNITS[-1])


def phase_unit(seconds: float) -> DurationUnit:
    """The unit for phases of something that takes `seconds`: seconds up to ten minutes."""
    return UNITS[1] if 1 <= seconds < 600 else duration_unit(seconds)


def duration(seconds: float | None) -> str:
    """`46 ms`, `3.8 s`, `23 min`, `4.2 h`, `2.3 d`: an estimate, two significant digits."""
    return UNKNOWN if seconds is None else duration_unit(seconds).text(seconds)


def hours(value: float | None) -> str:
    """`23 min`, `4.2 h`: an estimate that is given in hours."""
    return duration(None if value is None else value * 3600)


def elapsed(seconds: float) -> str:
    """`38 s`, `12 min`, `3 h 20 min`, `2 d 4 h`: a time that was measured."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    whole_hours, minutes = divmod(minutes, 60)
    return f"{whole_hours} h {minutes:02} min" if whole_hours < 48 else f"{whole_hours // 24} d {whole_hours % 24} h"


def when(at: datetime, now: datetime) -> str:
    """`14:03` today, `Mon 14:03` within six days, else the date: in the reader's zone."""
    here, today = at.astimezone(), now.astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M}"
    return f"{here:%a %H:%M}" if today - here < timedelta(days=6) else f"{here:%Y-%m-%d}"


def signed_hours(value: float) -> str:
    """`+4.2 h` or `−23 min`; `=` for less than half a minute."""
    return "=" if abs(value) < 1 / 120 else signed(hours(abs(value)), value)


def hours_band(band: Band, unit: DurationUnit | None = None) -> tuple[str, str]:
    """`31 h` and `(27–40)`: the middle and the band in one unit."""
    unit = unit or duration_unit(band.p50 * 3600)
    low, middle, high = (unit.of(value * 3600) for value in band.percentiles)
    return f"{middle} {unit.name}", f"({low}–{high})"


def usd_band(band: Band | None, *, at_least: bool = False) -> tuple[str, str]:
    """`$15,400` and `($13,100–$20,300)`; `at_least`: of what has a price, `unknown` and nothing if nothing has."""
    if band is None or (at_least and band.p90 == 0):
        return UNKNOWN, ""
    return least_usd(band.p50, at_least=at_least), f"({usd(band.p10)}–{usd(band.p90)})"


def column(values: Iterable[float]) -> list[str]:
    """Numbers of one column with equal decimals, three significant digits in the largest; small ones as `<0.1`."""
    listed = list(values)
    largest = max(map(abs, listed), default=0.0)
    decimals = 0 if largest == 0 else min(max(2 - math.floor(math.log10(largest)), 0), 4)
    least = 10**-decimals
    return [f"<{least}" if 0 < abs(value) < least / 2 else f"{value:,.{decimals}f}" for value in listed]


def expected(count_of_events: float) -> str:
    """`0.04`, `5.3`: how often something is expected to happen."""
    return number(count_of_events, 1 if count_of_events < 1 else 2)


def cured(share: float) -> str:
    """`it`, `13% of it`: what a cure removes."""
    return "it" if share >= 0.9 else f"{percent(share)} of it"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """`1 node`, `4 nodes`."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def size(num_bytes: int) -> str:
    """`569 KiB`."""
    for unit, unit_bytes in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if num_bytes >= unit_bytes:
            return f"{num_bytes / unit_bytes:.3g} {unit}"
    return f"{num_bytes} bytes"
