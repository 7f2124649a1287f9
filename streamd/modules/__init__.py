"""Modules: what model outputs mean, for voice activity, wake words, speakers and emotion."""
