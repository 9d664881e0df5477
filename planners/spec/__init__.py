"""The run spec: what a person may write.  `run.RunSpec` is the whole; the rest are its parts."""
