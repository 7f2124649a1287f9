#!/bin/sh
# Renders the clips that `streamd bench` plays where no --audio is given: four synthetic voices,
# 16 kHz mono FLAC. Needs flite and sox. Run in this directory; the files are committed, so that
# figures do not hang on versions of the two.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { # voice text
    flite -voice "$1" -t "$2" -o "$work/raw.wav"
    # Without the silence at either end: what is between clips is the bench's to choose.
    sox -D "$work/raw.wav" -r 16000 -b 16 -c 1 -C 8 "$1.flac" gain -12 \
        silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse
}

say slt "Alexa, is the kettle on? The lamp in the hall is out."
say rms "Hey Jarvis, close the curtains and lock the door."
say awb "Hey Mycroft, when does the rain stop? I want to walk."
say kal16 "Hey Marvin, wake me at seven, and not before."
