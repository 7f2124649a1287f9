"""Passes: one file for each model, as a batched function."""
