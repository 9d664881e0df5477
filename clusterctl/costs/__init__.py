"""What runs have cost and will cost, from the ledger and the telemetry store; see docs/cost.md."""
