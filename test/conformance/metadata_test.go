package conformance_test

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/test/harness"
)

// oddMetadata returns bodies of onMetaData that hold what JSON cannot say, what is too
// long for many, and what is broken.
func oddMetadata(t *testing.T) map[string][]byte {
	t.Helper()
	of := func(array amf0.ECMAArray) []byte {
		b, err := amf0.AppendAll(nil, "onMetaData", array)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return map[string][]byte{
		"no-key":   of(amf0.ECMAArray{{Key: "", Value: 1}, {Key: "", Value: "x"}}),
		"nan":      of(amf0.ECMAArray{{Key: "width", Value: math.NaN()}, {Key: "duration", Value: math.NaN()}}),
		"infinite": of(amf0.ECMAArray{{Key: "height", Value: math.Inf(1)}, {Key: "filesize", Value: math.Inf(-1)}}),
		"long":     of(amf0.ECMAArray{{Key: "encoder", Value: strings.Repeat("x", 70<<10)}}),
		"cut":      []byte("\x02\x00\x0aonMetaData\x0a\xff\xff\xff\xff"),
		"nested":   []byte("\x02\x00\x0aonMetaData" + strings.Repeat("\x0a\x00\x00\x00\x01", 10_000)),
	}
}

func TestCase053OddMetadataDoesNoHarm(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	plain, sent := sent[0], sent[1:]
	opening := harness.Opening(sent)
	for name, body := range oddMetadata(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "case053/" + name
			odd := flv.Tag{Type: flv.TagScript, Body: body}
			p := harness.Connect(t, s.Push(path))
			p.Send(t, append([]flv.Tag{odd}, sent[:opening]...)...)
			viewers := everyWay(t, s, path)
			rec := s.Record(t, "POST", "start/"+path)
			for _, v := range viewers {
				v.Begin(t)
			}
			checkAPI(t, s, path)
			p.Send(t, append([]flv.Tag{plain, odd}, sent[opening:]...)...)
			p.Finish(t)
			for way, v := range viewers {
				sameMedia(t, way, sent, rest(t, way, v))
			}
			s.WaitLine(t, "session ended", "role=recording", "stream="+path)
			_, recorded := harness.Tags(t, s.File(t, rec))
			sameMedia(t, "recording", sent, recorded)
			duration, _ := metadata(t, recorded).Get("duration")
			if d, ok := duration.(float64); !ok || !(d > 1) { // nor NaN
				t.Errorf("the recording says that it is %v s long", duration)
			}
		})
	}
}

// sameMedia checks audio and video alone.
func sameMedia(t *testing.T, way string, sent, got []flv.Tag) {
	t.Helper()
	if diff := cmp.Diff(tracks(sent), tracks(got)); diff != "" {
		t.Errorf("%s: other tags than were sent (-sent +got):\n%.2000s", way, diff)
	}
}

// checkAPI checks that whatever answers in JSON does so, and knows the stream.
func checkAPI(t *testing.T, s *harness.Server, path string) {
	t.Helper()
	for _, call := range []string{"/console/streams", "/flv/record/list", "/flv/record/status/" + path} {
		status, body := s.Call(t, http.MethodGet, call)
		if status != http.StatusOK || !json.Valid([]byte(body)) || !strings.Contains(body, `"`+path+`"`) {
			t.Errorf("GET %s is answered with %d: %s", call, status, body)
		}
	}
	_, body := s.Call(t, http.MethodGet, "/console/streams")
	var list struct {
		Streams []struct {
			Path   string
			Tracks []struct {
				Kind          string
				Width, Height int
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	for _, one := range list.Streams {
		for _, track := range one.Tracks {
			if one.Path == path && track.Kind == "video" && (track.Width <= 0 || track.Height <= 0) {
				t.Errorf("the picture is %d×%d", track.Width, track.Height)
			}
		}
	}
}
