"""Wake words of the user's own: from a few clips to a head that is served.

The head is linear on the frozen speech embedding. `clips` finds the phrase in each recording,
`augment` puts it into other rooms and noises, `negatives` is audio without the phrase, `training`
fits heads, and `making` combines all of it and estimates the errors of the word.
"""
