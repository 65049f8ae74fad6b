#!/bin/sh
# Makes picture.flv, the test picture of `sluice demo`: 640x360 at 25 frames a
# second, a key frame every 2 s, a flash and a soft beep every second.
#
# It is played in a loop, so its length is one that a whole number of pictures
# (40 ms), of sound frames (1024/48000 s) and of key frame intervals (2 s) fill:
# a multiple of 8 s. The sound is the second of three periods, cut out of one
# encoding, so that the end runs into the beginning without the silence with
# which an encoder starts. No beep falls on the seam.
#
# Needs ffmpeg with libx264 and the font DejaVu Sans Mono. The result depends
# on their versions, which is why it is committed.
set -eu
cd "$(dirname "$0")"

seconds=24
frames=$((seconds * 48000 / 1024))
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ff="ffmpeg -v error -y -bitexact"

flash='between(mod(t,1),0.499,0.659)'
clock="drawtext=fontfile=$font:text='%{pts\\:gmtime\\:0\\:%M\\\\\\:%S}':fontsize=88:fontcolor=white:x=(w-text_w)/2:y=118"
title="drawtext=fontfile=$font:text='Sluice test picture':fontsize=22:fontcolor=white:x=(w-text_w)/2:y=206"

$ff -f lavfi -i "testsrc2=size=640x360:rate=25:duration=$seconds" \
	-vf "drawbox=x=160:y=104:w=320:h=138:color=black@0.75:t=fill,$clock,$title,drawbox=x=160:y=104:w=320:h=138:color=white:t=6:enable='$flash'" \
	-c:v libx264 -profile:v main -preset veryslow -threads 1 -pix_fmt yuv420p -bf 0 \
	-g 50 -keyint_min 50 -sc_threshold 0 -crf 27 -maxrate 700k -bufsize 700k \
	-flags:v +bitexact "$tmp/video.mp4"

beep='between(mod(t,1),0.5,0.66)'
tone="0.16*sin(2*PI*880*t)*pow(sin(PI*(mod(t,1)-0.5)/0.16),2)*$beep"
$ff -f lavfi -i "aevalsrc=exprs='$tone|$tone':sample_rate=48000:duration=$((3 * seconds))" \
	-c:a aac -b:a 64k -flags:a +bitexact "$tmp/sound.mp4"
$ff -i "$tmp/sound.mp4" -c copy \
	-bsf:a "noise=drop='lt(n,$((frames + 1)))+gte(n,$((2 * frames + 1)))',setts=ts=N*1024" "$tmp/period.mp4"

$ff -i "$tmp/video.mp4" -i "$tmp/period.mp4" -map 0:v -map 1:a -map_metadata -1 -c copy -fflags +bitexact \
	-flvflags no_sequence_end+no_duration_filesize -f flv picture.flv
ls -l picture.flv
