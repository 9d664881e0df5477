"""Programs that show how a job works with clusterctl: run by path, imported by nobody."""
