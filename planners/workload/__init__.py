"""From a stage to its work (tokens, samples, sandbox runs), and from its work to seconds on a layout."""
