"""What runs on a node and what it does, measured by a small agent and kept in a store."""
