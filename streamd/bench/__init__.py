"""`streamd bench`: how many live streams a server carries, and what each costs.

`running.py` reads top to bottom as one measurement. Three kinds of process take part: this one
searches (`search.py`) and reports; the server under load (`server.py`), which may be one of its
own; and the load (`load.py`): processes that run `worker.py`, so that measuring does not slow the
server.
"""
