#!/bin/sh
# Makes the committed files in containers/: recordings as other programs leave them. Needs ffmpeg and
# sox. Run in this directory; the files are committed, so that tests do not hang on versions of the
# two. Damage by bytes, and WAV headers that were never completed, are made in the tests themselves.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=containers
mkdir -p "$out"
ff() { ffmpeg -v error -y -bitexact "$@"; }

# 8.0 s, mono: two sentences. 6.0 s: other speech.
sox -D speech_slt.flac "$work/one.wav" trim 0 8
sox -D speech_rms.flac "$work/two.wav" trim 0 6
one="-i $work/one.wav -map_metadata -1"
two="-i $work/two.wav -map_metadata -1"

# A stated length that is an estimate, of the first part only, or absent.
sox -D -R -n -r 16000 -b 16 "$work/noise.wav" synth 0.5 whitenoise vol 0.7
sox -D "$work/noise.wav" "$work/one.wav" "$work/quiet.wav" trim 0 4 pad 0 16
ff -i "$work/quiet.wav" -map_metadata -1 -q:a 4 -write_xing 0 "$out/vbr_20s.mp3"
ff $one -b:a 16k "$work/one.mp3"
ff $two -b:a 16k "$work/two.mp3"
cat "$work/one.mp3" "$work/two.mp3" >"$out/joined_14s.mp3"
ff $one -c:a libopus -b:a 8k "$work/one.opus"
ff $two -ac 2 -c:a libopus -b:a 12k "$work/two.opus"
cat "$work/one.opus" "$work/two.opus" >"$out/chained_14s.opus"
ff $one -t 4 -c:a libvorbis -q:a -1 "$work/one.ogg"
ff $two -t 3 -ar 22050 -ac 2 -c:a libvorbis -q:a -1 "$work/two.ogg"
cat "$work/one.ogg" "$work/two.ogg" >"$out/chained_7s.ogg"
sox -D "$work/one.wav" "$work/short.wav" trim 0 2
ff -i "$work/short.wav" -map_metadata -1 -f flac - | cat >"$out/piped_2s.flac"

# AAC that changes its channels, then its rate.
ff $one -t 2 -c:a aac -b:a 16k "$work/mono.aac"
ff $one -t 2 -ac 2 -c:a aac -b:a 16k "$work/stereo.aac"
ff $one -t 2 -ar 44100 -c:a aac -b:a 24k "$work/rate.aac"
cat "$work/mono.aac" "$work/stereo.aac" "$work/rate.aac" >"$out/changes_6s.aac"

# A second that is missing, from 4 s on; a start at 3 s.
hole="aselect='lt(t,4)+gte(t,5)'"
ff $one -af "$hole" -c:a libopus -b:a 8k "$out/hole_at_4s.webm"
ff $one -af "$hole" -c:a aac -b:a 16k "$out/hole_at_4s.mkv"
ff $one -af "$hole" -c:a aac -b:a 16k "$out/hole_at_4s.mp4"
ff $one -c:a libopus -b:a 8k -page_duration 500000 "$out/pages_8s.opus"
ff -itsoffset 3 $one -c:a aac -b:a 16k "$out/late_3s.mp4"
ff -itsoffset 3 $one -c:a aac -b:a 16k "$out/late_3s.mkv"
# The clock of a live recording that was joined after half an hour, and MPEG-TS, which starts at 1.4 s;
# the same with a picture from 0 on.
ff -itsoffset 1800 -copyts $one -c:a libopus -b:a 8k -f webm -live 1 - | cat >"$out/joined_live.webm"
ff $one -t 4 -c:a aac -b:a 16k "$out/plain.ts"
ff -f lavfi -i color=s=16x16:r=25:d=5 -itsoffset 3 $one -t 5 -c:v mpeg2video -c:a aac -b:a 16k "$out/late_3s.ts"

# Two tracks: the first has the 8 s, the second the 6 s.
ff -i "$work/one.wav" -i "$work/two.wav" -map 0:a -map 1:a -map_metadata -1 -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu \
    -c:a aac -b:a 16k "$out/two_tracks.mp4"

# To be damaged in the tests.
ff $one -c:a aac -b:a 16k "$out/whole_8s.aac"
ff $one -c:a aac -b:a 16k "$out/whole_8s.m4a"
cp "$work/one.mp3" "$out/whole_8s.mp3"
ff $one -t 3 -c:a flac "$out/whole_3s.flac"
