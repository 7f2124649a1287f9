from hypothesis import settings

# A shared machine pauses when it likes: the time of one example says nothing.
settings.register_profile("streamd", deadline=None)
settings.load_profile("streamd")
