// Package peers_test has the real server talk with what people have: FFmpeg
// 8.1, GStreamer, rtmpdump, VLC and RTSP cameras.
package peers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// enhanced are the media with codecs that FLV has by FourCC alone.
func enhanced() []string {
	return []string{
		"hevc_aac_enhanced", "hevc_only_codedframesx", "hevc_hdr10_colorinfo", "av1_opus_enhanced", "vp9_opus_enhanced",
		"h264_opus_enhanced", "h264_flac_enhanced", "h264_ac3_enhanced", "h264_eac3_enhanced",
		"multitrack_2v2a", "multitrack_h264_hevc",
	}
}

func TestWhatFFmpeg8PublishesComesBackToIt(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range enhanced() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, file := "peers/"+name, harness.Media(t, name+".flv")
			viewer := harness.ReadAV(t, s.Play("http", path+".flv?wait=60s&join=gop&profile=raw"))
			encoder := harness.PublishAV(t, file, s.Push(path))
			streams, sent := harness.ReadAV(t, harness.CopyAV(t, file)).AVPackets(t)
			if code := encoder.Wait(t); code != 0 {
				t.Fatalf("the encoder ended with %d", code)
			}
			got, packets := viewer.AVPackets(t)
			if diff := cmp.Diff(streams, got); diff != "" {
				t.Fatalf("other streams come back (-sent +got):\n%s", diff)
			}
			sameAV(t, sent, packets)
		})
	}
}

// sameAV compares, track by track, what came with the end of what was sent: a
// viewer begins at a key frame. Times count from there.
func sameAV(t *testing.T, sent, got []harness.AVPacket) {
	t.Helper()
	if len(got) < len(sent)/2 {
		t.Fatalf("%d packets came of %d", len(got), len(sent))
	}
	begin := slices.IndexFunc(sent, func(p harness.AVPacket) bool { return p.Hash == got[0].Hash })
	if begin < 0 {
		t.Fatal("the first packet that came was never sent")
	}
	want := slices.DeleteFunc(slices.Clone(sent), func(p harness.AVPacket) bool { return p.DTS < sent[begin].DTS })
	if diff := cmp.Diff(byStream(want), byStream(got)); diff != "" {
		t.Errorf("other packets come back (-sent +got):\n%s", diff)
	}
}

func byStream(packets []harness.AVPacket) map[int][]string {
	out := map[int][]string{}
	for _, p := range packets {
		line := fmt.Sprintf("at %d ms, shown at %d, key %v, %d bytes, %s", p.DTS-packets[0].DTS, p.PTS-packets[0].DTS, p.Key, p.Size, p.Hash)
		out[p.Stream] = append(out[p.Stream], line)
	}
	return out
}
