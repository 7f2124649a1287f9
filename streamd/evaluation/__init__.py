"""How right the events are: labelled recordings through the very session that serves.

A manifest names recordings and their truth, `hearing` turns them into events, and one file for
each module turns the events into figures with their intervals. No figure is computed in a
worker: what is heard once can be counted again.
"""
