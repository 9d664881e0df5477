"""Units and conversions used everywhere; a name that carries a unit uses these definitions."""

GIB = 2**30
"""Bytes in a GiB (what drivers and clouds report as memory)."""

GB = 10**9
"""Bytes in a GB (makers' link and disk figures, egress prices)."""

SECONDS_PER_HOUR = 3600.0
HOURS_PER_DAY = 24
HOURS_PER_MONTH = 730.0
"""Cloud price lists' month: 365 × 24 / 12 hours."""
