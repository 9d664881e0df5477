"""What a change of run specs and infrastructure costs, which rules it breaks, and where that is said."""
