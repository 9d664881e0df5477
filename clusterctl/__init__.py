"""The shell around `planners`: reads files and prices, calls the pure core, prints and writes."""

__version__ = "0.1.0"
