"""An RTSP camera: a moving picture in H.264 or H.265 and a tone in G.711 or AAC,
by the RTSP server of GStreamer. It prints its URL and serves until it is ended.

    /usr/bin/python3 camera.py [h264|h265] [alaw|mulaw|aac|none]
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

VIDEO = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=25 ! video/x-h264,profile=baseline"
    " ! rtph264pay name=pay0 pt=96",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=25 ! rtph265pay name=pay0 pt=96",
}
AUDIO = {
    "alaw": "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8",
    "mulaw": "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0",
    "aac": "audio/x-raw,rate=44100,channels=1 ! avenc_aac ! rtpmp4gpay name=pay1 pt=97",
}


def main(video="h264", audio="alaw"):
    Gst.init(None)
    launch = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! " + VIDEO[video]
    if audio != "none":
        launch += " audiotestsrc is-live=true ! " + AUDIO[audio]
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {launch} )")
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.get_mount_points().add_factory("/stream1", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/stream1", flush=True)
    GLib.MainLoop().run()


main(*sys.argv[1:])
