"""Warnings beside the cost: from what a run reports, whether its reward is hacked or its data collapses."""
