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
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
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
