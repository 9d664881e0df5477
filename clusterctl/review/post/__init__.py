"""See docs/review.md, "Where it posts"."""
