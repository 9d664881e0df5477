"""What a stage asks for, in the same few words for every kind, and how long that takes on a layout."""
