"""The audit log: who used which key, and who changed which voice, word or key.

JSON lines, each with the SHA-256 of the line before. So nobody changes or removes a line in the
middle unnoticed: `streamd doctor --audit` finds it. It holds no key, audio, embedding, file name
or name of a voice.
"""
