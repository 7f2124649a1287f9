"""SenseVoice: text, language, emotion and sounds of an utterance from one run of its network."""
