"""Decoding of uploads in processes of their own, with limits on time, memory and size.

`worker` runs in such a process and imports nothing of the server. `process` is the server's handle
of one, `pool` keeps them, and `uploads` is what callers use. `frames` is what they say to each
other: the worker asks for each piece of the upload, so nothing queues up on the way.
"""
