"""Recognisers: from the speech of an utterance to its text."""
