"""Wake words of the user's own: from a few clips to a head that is served.

The head is linear on the frozen speech embedding. `clips` finds the phrase in each recording,
`augment` says it in other rooms and noises, `negatives` is what it must not take for the phrase,
`training` fits heads, and `making` does it all and says how good the word will be.
"""
