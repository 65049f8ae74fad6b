package harness

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"sluice/internal/flvtest"
)

// AVStream is a stream as the FFmpeg 8.1 libraries of node-av see it.
type AVStream struct {
	Index  int
	Codec  string // FFmpeg's name of it
	Config string // the SHA-256 of its configuration
}

// AVPacket is a packet as the FFmpeg 8.1 libraries of node-av see it.
type AVPacket struct {
	Stream   int
	PTS, DTS int // milliseconds
	Key      bool
	Size     int
	Hash     string // the SHA-256 of its data
}

// NodeAV runs one of the scripts in test/peers. Where node-av has no libraries,
// which is anywhere but on Linux with an x64 processor, the test is skipped.
func NodeAV(tb testing.TB, script string, args ...string) *Process {
	tb.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		tb.Skip("node-av comes for linux/amd64 alone here")
	}
	dir := filepath.Join(flvtest.Root(tb), "test", "peers")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "node-av")); err != nil {
		tb.Fatalf("the npm package node-av is needed: make peers (%v)", err)
	}
	return Run(tb, dir, nil, "node", append([]string{"-r", "./node20.cjs", script}, args...)...)
}

// PublishAV has node-av publish a file as it is, in real time and once. Its
// FLV is that of FFmpeg 8.1: Enhanced RTMP where the codec asks for it.
func PublishAV(tb testing.TB, file, url string) *Process {
	tb.Helper()
	return NodeAV(tb, "copy.mjs", "-re", file, url)
}

// CopyAV has node-av write a file as it writes a stream, and returns the copy:
// it makes some configurations anew.
func CopyAV(tb testing.TB, file string) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), filepath.Base(file))
	p := NodeAV(tb, "copy.mjs", file, out)
	if code := p.Wait(tb); code != 0 {
		tb.Fatalf("copy.mjs ended with %d:\n%s", code, p.Output())
	}
	return out
}

// ReadAV begins to demux a file or URL with node-av. [Process.AVPackets] waits
// for the end.
func ReadAV(tb testing.TB, input string) *Process {
	tb.Helper()
	return NodeAV(tb, "packets.mjs", input)
}

// AVPackets waits for the end of what [ReadAV] began, which has to be a clean
// one, and returns the streams and packets that were read.
func (p *Process) AVPackets(tb testing.TB) ([]AVStream, []AVPacket) {
	tb.Helper()
	if code := p.Wait(tb); code != 0 {
		tb.Fatalf("packets.mjs ended with %d:\n%s", code, p.Output())
	}
	var streams []AVStream
	var packets []AVPacket
	for _, line := range p.Lines() {
		var row struct {
			AVPacket

			Streams []AVStream
			End     bool
		}
		if len(line) == 0 || line[0] != '{' { // libraries write to the terminal too
			continue
		}
		switch err := json.Unmarshal([]byte(line), &row); {
		case err != nil:
			tb.Fatalf("packets.mjs wrote %q: %v", line, err)
		case row.Streams != nil:
			streams = row.Streams
		case row.End:
			return streams, packets
		default:
			packets = append(packets, row.AVPacket)
		}
	}
	tb.Fatalf("packets.mjs wrote no end:\n%s", p.Output())
	return nil, nil
}
