"""The checks of `streamd doctor`: one file for each part of the machine that they look at.

A check changes nothing: it makes no store, no key and no folder, and brings no store up to date.
"""
