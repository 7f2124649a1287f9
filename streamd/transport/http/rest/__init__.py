"""REST: one file for each family of paths, one function for each path."""
