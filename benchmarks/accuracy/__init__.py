"""How right the events are, on labelled recordings: `python -m benchmarks.accuracy FIXTURES`.

Every clip goes through the very session that serves. Each part below names its tasks, runs one
at a time in a worker process, and makes tables of all the answers.
"""
