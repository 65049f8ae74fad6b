// Package peers_test has the real server talk with what people have: FFmpeg
// 8.1, GStreamer, rtmpdump, VLC and RTSP cameras.
package peers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/flvtest"
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
			path, file := "peers/"+name, flvtest.Path(t, name+".flv")
			views := map[string][]int{"all": nil} // which of the streams are in them
			switch name {
			case "multitrack_2v2a":
				views["0"], views["1"] = []int{0, 2}, []int{1, 3}
			case "multitrack_h264_hevc":
				views["0"], views["1"] = []int{0, 2}, []int{1, 2}
			}
			viewers := map[string]*harness.Process{}
			for track := range views {
				viewers[track] = harness.ReadAV(t, s.Play("http", path+".flv?wait=60s&join=gop&profile=raw&track="+track))
			}
			viewers["by RTMP"] = harness.ReadAV(t, s.Push(path+"?wait=60s&join=gop")) // all of them too
			encoder := harness.PublishAV(t, file, s.Push(path))
			streams, sent := harness.ReadAV(t, harness.CopyAV(t, file)).AVPackets(t)
			if code := encoder.Wait(t); code != 0 {
				t.Fatalf("the encoder ended with %d", code)
			}
			for track, v := range viewers {
				got, packets := v.AVPackets(t)
				wantStreams, want := pick(streams, sent, views[track])
				if diff := cmp.Diff(wantStreams, got); diff != "" {
					t.Fatalf("track=%s: other streams come back (-sent +got):\n%s", track, diff)
				}
				sameAV(t, want, packets)
			}
		})
	}
}

// pick returns those streams alone, numbered anew, and their packets; nil
// stands for all.
func pick(streams []harness.AVStream, packets []harness.AVPacket, which []int) ([]harness.AVStream, []harness.AVPacket) {
	if which == nil {
		return streams, packets
	}
	var out []harness.AVStream
	for i, index := range which {
		s := streams[index]
		s.Index = i
		out = append(out, s)
	}
	var kept []harness.AVPacket
	for _, p := range packets {
		if i := slices.Index(which, p.Stream); i >= 0 {
			p.Stream = i
			kept = append(kept, p)
		}
	}
	return out, kept
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
