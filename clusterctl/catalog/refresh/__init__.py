"""Reading the clouds' own price interfaces into a new, dated price book."""
