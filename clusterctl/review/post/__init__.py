"""Reviews as comments of pull requests; see docs/review-ci.md."""
