"""Starting, watching and ending runs: the same machinery for every target."""
