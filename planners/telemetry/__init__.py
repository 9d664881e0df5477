"""The columns of telemetry: the contract between collector, store, cost accounting and dashboard."""
