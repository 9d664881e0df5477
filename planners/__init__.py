"""The pure core of clusterctl: arguments in, values out.  No I/O, no clock, no environment, no logging."""
