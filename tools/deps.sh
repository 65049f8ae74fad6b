#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: Debian packages, by
# root or sudo. With everything in place it does nothing and needs nobody.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

for cmd in go node npm; do
	command -v "$cmd" >/dev/null || {
		echo "deps: $cmd is missing; install Go 1.26 or newer and Node 20 or newer first" >&2
		exit 1
	}
done

missing=()
need() { # command, package
	command -v "$1" >/dev/null || missing+=("$2")
}
need ffmpeg ffmpeg
need ffplay ffmpeg
need ffprobe ffmpeg
need nginx nginx-light
need chromium chromium
need gcc gcc
need gst-launch-1.0 gstreamer1.0-tools
need rtmpdump rtmpdump
need cvlc vlc-bin
need systemd-analyze systemd
need systemd-socket-activate systemd
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
element() { # of GStreamer, package
	gst-inspect-1.0 --exists "$1" 2>/dev/null || missing+=("$2")
}
element videotestsrc gstreamer1.0-plugins-base
element flvmux gstreamer1.0-plugins-good
element rtmp2sink gstreamer1.0-plugins-bad
element x264enc gstreamer1.0-plugins-ugly
element avenc_aac gstreamer1.0-libav
compgen -G '/usr/lib/*/vlc/plugins/access/libhttp_plugin.so' >/dev/null || missing+=(vlc-plugin-base)
/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null ||
	missing+=(python3-gi gir1.2-gst-rtsp-server-1.0)
[ ${#missing[@]} -gt 0 ] || exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps: root is needed to install Debian packages. As root: apt-get install ${missing[*]}" >&2
		exit 1
	}
	root=(sudo)
fi
command -v apt-get >/dev/null || {
	echo "deps: no apt-get here; install by other means: ${missing[*]}" >&2
	exit 1
}
echo "deps: installing ${missing[*]} with apt-get${root[0]:+, for which sudo may ask for a password}"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
