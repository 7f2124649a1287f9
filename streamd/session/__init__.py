"""One stream's timeline: audio and model answers in, jobs and events out."""
