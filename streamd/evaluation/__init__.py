"""Accuracy of the events: labelled recordings through the same session code that serves streams.

A manifest names recordings and their labels, `tasks` turns them into events, and one file per
module turns the events into figures with intervals. Workers compute no figures, so that cached
events can be counted again.
"""
