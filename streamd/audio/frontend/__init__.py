"""The audio front end: noise suppression and echo cancellation before the modules.

It works on frames of 10 ms at 16 kHz, counted from the start of a piece of the stream, so that its
output does not depend on how the audio was cut into messages. Each stage holds its output back by a
fixed number of samples. Whoever runs it drops as many at the start of a piece, so that every
position keeps its time.
"""
