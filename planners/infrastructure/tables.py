"""What the tables of all clouds are made of."""

from __future__ import annotations

from collections.abc import Callable

from planners.infrastructure.bill import ResourceBill

Pricer = Callable[[ResourceBill], None]


def once(name: str, item: str, *used: tuple[str, str]) -> Pricer:
    """One of an extra of the price book all month, and what is billed by use with it."""

    def price(bill: ResourceBill) -> None:
        bill.item(name, item, 1)
        for text, by_item in used:
            bill.by_use(text, by_item)

    return price


def by_use(*parts: tuple[str, str]) -> Pricer:
    """Billed by use alone: (name, item of the price book, or the unit of one that it hasn't)."""

    def price(bill: ResourceBill) -> None:
        for name, item in parts:
            bill.by_use(name, item) if "_" in item else bill.by_use(name, unit=item)

    return price


def unpriced(name: str, unit: str = "hour") -> Pricer:
    """Known to cost, by a price that the book doesn't have."""

    def price(bill: ResourceBill) -> None:
        bill.unpriced(name, unit)

    return price


def free(bill: ResourceBill) -> None:
    """Costs nothing itself."""
    bill.free()
