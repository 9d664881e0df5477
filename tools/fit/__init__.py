"""The fit of the estimator's constants on the calibration cases."""
