"""Predicts published runs by the same physics as plans, and scores the predictions."""
