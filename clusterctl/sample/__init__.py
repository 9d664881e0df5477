"""The simulated day: a ledger and a telemetry store of their own, made once, labelled as simulated everywhere."""
