def tasks(clips): return []
