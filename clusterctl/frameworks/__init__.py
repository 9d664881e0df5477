"""What people already have: configurations and logs of training frameworks, read without running anything."""
