"""Puts this folder on the path, so that every test below can import `tiny_world`."""
