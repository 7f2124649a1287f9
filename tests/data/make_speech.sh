#!/bin/sh
# Renders the committed speech: five synthetic voices, 16 kHz mono FLAC; what each says once, as
# `phrase_*`, is a wake word to be learned. Needs flite, espeak-ng and sox. Run in this directory;
# the files are committed, so that tests do not hang on versions of the three. The last two lines
# make the clip that converters check themselves on.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { # voice text file
    case $1 in
    espeak) espeak-ng -v en-us -w "$work/raw.wav" "$2" ;;
    *) flite -voice "$1" -t "$2" -o "$work/raw.wav" ;;
    esac
    sox -D "$work/raw.wav" -r 16000 -b 16 -c 1 "$3" gain -6
}

say slt "Alexa. What is the weather like today? I would rather walk than take the bus. Set a timer for five minutes. The kettle has boiled twice already. Hey Jarvis, play something quiet." speech_slt.flac
say rms "Hey Jarvis. Set a timer for ten minutes. We met at the station at a quarter past nine. Alexa, how is the weather tomorrow? Nobody had told the driver about the bridge." speech_rms.flac
say awb "Hey Marvin. The rain came down from the hills. Hey Mycroft, set a timer for one hour. There are seven boxes left on the shelf. Alexa, stop. What will the weather be on Sunday?" speech_awb.flac
say kal16 "Alexa. Set a timer for thirty minutes. She closed the window and went on reading. Hey Mycroft. Please tell them that the meeting is moved. Tell me the weather forecast." speech_kal16.flac
say espeak "Hey Jarvis, set a timer for twenty minutes. Most of the letters were never sent. Alexa. What's the weather in Berlin? Hey Marvin. The garden gate is open again." speech_espeak.flac

for voice in slt rms awb kal16 espeak; do
    say $voice "Hey lantern." "phrase_$voice.flac"
done

say slt "Alexa, what is the weather today?" "$work/1.wav"
say rms "Hey Jarvis. Hey Marvin." "$work/2.wav"
say espeak "Set a timer for five minutes." "$work/3.wav"
sox -D "$work/1.wav" "$work/2.wav" "$work/3.wav" ../../streamd/models/convert/check.flac
