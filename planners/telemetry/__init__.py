"""What telemetry says, as columns: the contract between collector, store, money and dashboard."""
