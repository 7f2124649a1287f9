"""Who rang: `python door.py recording.wav [URL]` asks the server whose voice that is."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8765"


def ask(recording: bytes, url: str) -> dict:
    """Return the reply of `/v1/identify`, or the error in its place."""
    headers = {"Content-Type": "application/octet-stream"}
    if key := os.environ.get("STREAMD_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url}/v1/identify", recording, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as refusal:
        return json.load(refusal)


def sentence(reply: dict) -> str:
    if "error" in reply:
        if reply["error"]["code"] == "too_short":
            return "Somebody rang, and said too little."
        return f"Somebody rang. {reply['error']['message']}"
    if reply["decision"] == "accept":
        return f"{reply['speaker']} is at the door."
    if reply["decision"] == "unsure" and reply["candidates"]:
        return f"Perhaps {reply['candidates'][0]['speaker']} is at the door."
    return "A stranger is at the door."


def main(path: str, url: str = URL) -> None:
    print(sentence(ask(Path(path).read_bytes(), url)))


main(*sys.argv[1:])
