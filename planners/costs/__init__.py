"""What was paid, for whom and for what: charges and use in, parts that add up to the whole out.  Pure."""
