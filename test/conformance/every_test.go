package conformance_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// everyFile returns the media that a stream can be made of by sending them.
func everyFile(t *testing.T) []string {
	t.Helper()
	root := flvtest.Path(t, "")
	var names []string
	for _, pattern := range []string{"*.flv", "mutants/*.flv"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(strings.TrimPrefix(file, root+"/"), ".flv")
			switch filepath.Base(name) {
			case "concat", // two files, one behind the other, are no tags
				"noseqhdr": // pictures that nobody can decode have a test of their own
			default:
				names = append(names, name)
			}
		}
	}
	return names
}

func TestEveryFileIsPlayableInTheWebProfile(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range everyFile(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			got := watchAll(t, s, "web/"+name, sent, "http?profile=raw", "http?profile=web", "ws?profile=web", "ws?profile=raw")
			raw, web := got["http?profile=raw"], got["http?profile=web"]
			for profile, one := range map[string]taken{"web": web, "raw": raw} {
				a, b := outline(one.tags), outline(got["ws?profile="+profile].tags)
				if !one.header.Video {
					// Without pictures both wait for a beginning, and there is one every half a second.
					n := min(len(a), len(b))
					a, b = a[len(a)-n+2:], b[len(b)-n+2:] // behind onMetaData and configuration
				}
				if diff := cmp.Diff(a, b); diff != "" {
					t.Errorf("profile %s by WebSocket is something else than by HTTP:\n%s", profile, diff)
				}
			}
			checkRaw(t, name, sent, raw)
			checkWeb(t, raw, web)
			if raw.leftOut != "" {
				t.Errorf("of what was published, %q is left out", raw.leftOut)
			}
		})
	}
}

// checkRaw checks that the frames came as they were sent, from the first key frame
// on, and all of them unless the codec changes in the middle.
func checkRaw(t *testing.T, name string, sent []flv.Tag, raw taken) {
	t.Helper()
	if name == "mutants/noseqhdr_annexb" {
		return // start codes are replaced
	}
	sent = sent[max(0, slices.IndexFunc(sent, hasKey)):]
	for _, kind := range []media.Kind{media.Audio, media.Video} {
		was, is := frameData(sent, kind), frameData(raw.tags, kind)
		if len(is) == 0 {
			if len(was) > 0 {
				t.Errorf("nothing came of %d frames of %v", len(was), kind)
			}
			continue
		}
		begin := slices.Index(was, is[0])
		switch {
		case begin < 0, begin > 0 && raw.header.Video:
			t.Errorf("%v begins with frame %d of %d", kind, begin, len(was))
			continue
		case strings.Contains(name, "change"), strings.HasPrefix(name, "mutants/avc_to"):
			if n := len(was) - begin; len(is) < n/3 || len(is) >= n {
				t.Errorf("%d of %d frames of %v came, want those before the change", len(is), n, kind)
			}
			was = was[begin : begin+min(len(is), len(was)-begin)]
		default:
			was = was[begin:]
		}
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("%v (-sent +raw):\n%.2000s", kind, diff)
		}
	}
}

// hasKey tells whether a tag brings a key frame of track 0, maybe among others.
func hasKey(tag flv.Tag) bool {
	return slices.ContainsFunc(flv.AppendPackets(nil, tag.Type, tag.Body), func(p media.Packet) bool { return p.Key && p.Track == 0 })
}

// frameData is what the frames of track 0 carry, whenever they are.
func frameData(tags []flv.Tag, kind media.Kind) []string {
	var out []string
	for _, tag := range tags {
		for _, p := range flv.AppendPackets(nil, tag.Type, tag.Body) {
			if p.Kind == kind && p.Type == media.Frame && p.Track == 0 {
				out = append(out, fmt.Sprintf("%d bytes +%v key %t %x", len(p.Bytes()), p.CTS, p.Key, sha256.Sum256(p.Bytes())))
			}
		}
	}
	return out
}

// outline tells tags apart in a line each.
func outline(tags []flv.Tag) []string {
	var out []string
	for _, tag := range tags {
		out = append(out, fmt.Sprintf("type %d at %v: %d bytes, %x", tag.Type, tag.DTS, len(tag.Body), sha256.Sum256(tag.Body)))
	}
	return out
}
