"""Trains the default emotion model, or one on recordings of your own: see README.md."""
