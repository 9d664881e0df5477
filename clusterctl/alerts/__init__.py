"""Alerts: gathers what rules look at, reads who is told of what, and delivers it without waiting for anybody."""
