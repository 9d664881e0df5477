"""Plans that learn: what own runs took over what was planned becomes factors, each with its own uncertainty."""
