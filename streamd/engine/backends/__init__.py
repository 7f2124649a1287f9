"""Backends: one file for each runtime that runs graphs or keeps state."""
