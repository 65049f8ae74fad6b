package httpflv_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/flv"
	"sluice/media"
)

func TestWhatIsLeftOutIsNamedByEveryMethod(t *testing.T) {
	s := newServer(t)
	for name, want := range map[string]string{"h264_ac3_enhanced": "audio:AC-3", "av1_opus_enhanced": "video:AV1", "h264_alaw8k": ""} {
		s.live(t, "live/"+name, name+".flv")
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			resp := do(t, method, s.URL+"/flv/live/"+name+"?profile=web")
			if got := resp.Header.Get("Sluice-Left-Out"); got != want || resp.StatusCode != http.StatusOK || resp.Header.Get("Sluice-Profile") != "web" {
				t.Errorf("%s of %s: %s, profile %q, left out %q, want %q", method, name, resp.Status, resp.Header.Get("Sluice-Profile"), got, want)
			}
			if !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "Sluice-Left-Out") {
				t.Error("scripts may not read what is left out")
			}
			if raw := do(t, method, s.URL+"/flv/live/"+name+"?profile=raw"); raw.Header.Get("Sluice-Left-Out") != "" {
				t.Errorf("%s of %s: of what was published something is left out", method, name)
			}
		}
	}
}

func TestATrackOfACodecThatNobodyKnowsIsNamedToo(t *testing.T) {
	s := newServer(t)
	p := s.publish(t, "live/strange", "h264_aac.flv")
	for i := range p.tags {
		if tag := &p.tags[i]; tag.Type == flv.TagAudio {
			tag.Body = append([]byte("\x91zzzz"), tag.Body...)
		}
	}
	p.send(-1)
	resp := get(t, s.URL+"/flv/live/strange?profile=web&wait=5s")
	if got := resp.Header.Get("Sluice-Left-Out"); got != "audio:unknown" || resp.StatusCode != http.StatusOK {
		t.Errorf("%s, left out %q", resp.Status, got)
	}
	for query, want := range map[string]string{"profile=web&audio=off": "", "profile=raw": "", "profile=web&video=off": "415"} {
		resp := do(t, http.MethodHead, s.URL+"/flv/live/strange?"+query)
		if got := resp.Header.Get("Sluice-Left-Out"); got != "" || (resp.StatusCode == http.StatusUnsupportedMediaType) != (want == "415") {
			t.Errorf("%s: %s, left out %q", query, resp.Status, got)
		}
	}
}

func TestWhenNothingIsLeftTheAnswerSaysWhy(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/ac3", "h264_ac3_enhanced.flv")
	for query, want := range map[string]string{
		"profile=web&video=off":             "cannot play audio:AC-3",
		"track=9":                           "no track 9",
		"profile=web&track=1":               "no track 1",
		"audio=off&video=off":               "no track of the stream is left",
		"profile=web&video=off&hevc=legacy": "audio:AC-3",
	} {
		resp := get(t, s.URL+"/flv/live/ac3?"+query)
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var problem struct{ Detail string }
		if err := json.Unmarshal(body, &problem); err != nil || resp.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(problem.Detail, want) {
			t.Errorf("%s: %s %s (%v), want 415 with %q", query, resp.Status, body, err, want)
		}
		if resp := do(t, http.MethodHead, s.URL+"/flv/live/ac3?"+query); resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("HEAD with %s: %s", query, resp.Status)
		}
	}
}

func TestTheFormOfHEVCIsChosen(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/hevc", "hevc_aac_enhanced.flv")
	for query, want := range map[string]string{
		"profile=web":                 "\x90hvc1",
		"profile=web&hevc=enhanced":   "\x90hvc1",
		"profile=web&hevc=legacy":     "\x1c\x00\x00\x00\x00",
		"profile=raw&hevc=legacy":     "\x90hvc1",
		"hevc=legacy&audio=off":       "\x90hvc1",
		"profile=web&hevc=legacy&x=1": "\x1c\x00\x00\x00\x00",
	} {
		r := flv.NewReader(get(t, s.URL+"/flv/live/hevc?join=gop&"+query).Body)
		for {
			tag, err := r.Next()
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			if flv.ParseBody(tag.Type, tag.Body).Kind != media.Video {
				continue
			}
			if !strings.HasPrefix(string(tag.Body), want) {
				t.Errorf("%s: the first picture's tag is %x", query, tag.Body[:8])
			}
			break
		}
	}
}

func TestBadTracksAndFormsAreNamed(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	for _, query := range []string{"track=256", "track=-1", "track=x", "track=", "hevc=old", "track=all&profile=web"} {
		resp := get(t, s.URL+"/flv/live/test?"+query)
		problem(t, resp, http.StatusBadRequest)
	}
	for _, query := range []string{"track=all", "track=0", "track=all&profile=raw"} {
		if resp := get(t, s.URL+"/flv/live/test?"+query); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", query, resp.Status)
		}
	}
}
