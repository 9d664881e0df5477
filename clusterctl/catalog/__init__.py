"""Data that ships with the package, and its loaders: models, GPUs, prices, calibration."""

from clusterctl.catalog.lookup import find_gpu, find_gpus, find_model, load_gpus, load_models

__all__ = ["find_gpu", "find_gpus", "find_model", "load_gpus", "load_models"]
