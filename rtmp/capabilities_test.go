package rtmp_test

import (
	"errors"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/rtmp"
)

// enhanced are the properties of Enhanced RTMP in an answer to connect.
func enhanced(t *testing.T, answer []any) amf0.Object {
	t.Helper()
	if codeOf(t, answer) != rtmp.CodeConnectSuccess {
		t.Errorf("connect is answered with %v", answer)
	}
	var out amf0.Object
	for _, p := range amf0.Properties(answer[len(answer)-1]) {
		switch p.Key {
		case "capsEx", "fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap":
			out = append(out, p)
		}
	}
	return out
}

func TestCase054CapabilitiesAreOfferedToThoseWhoNameAny(t *testing.T) {
	t.Parallel()
	all := amf0.Object{
		{Key: "capsEx", Value: 15.0},
		{Key: "videoFourCcInfoMap", Value: amf0.Object{{Key: "*", Value: 4.0}}},
		{Key: "audioFourCcInfoMap", Value: amf0.Object{{Key: "*", Value: 4.0}}},
		{Key: "fourCcList", Value: amf0.StrictArray{"*"}},
	}
	for name, tt := range map[string]struct {
		properties amf0.Object
		offered    amf0.Object
		caps       rtmp.Capabilities
	}{
		"nothing":                        {},
		"a drone's garbage":              {amf0.Object{{Key: "fourCcList", Value: amf0.StrictArray{"hvc1", 5, nil}}}, all, rtmp.Capabilities{Enhanced: true}},
		"a list of ffmpeg":               {amf0.Object{{Key: "fourCcList", Value: amf0.StrictArray{"hvc1", "av01"}}}, all, rtmp.Capabilities{Enhanced: true}},
		"reconnect":                      {amf0.Object{{Key: "capsEx", Value: 1}}, all, rtmp.Capabilities{Enhanced: true, Ex: 1}},
		"no number":                      {amf0.Object{{Key: "capsEx", Value: math.NaN()}}, all, rtmp.Capabilities{Enhanced: true}},
		"a map that is none":             {amf0.Object{{Key: "videoFourCcInfoMap", Value: true}}, all, rtmp.Capabilities{Enhanced: true}},
		"a number that is far too large": {amf0.Object{{Key: "capsEx", Value: 1e300}}, all, rtmp.Capabilities{Enhanced: true}},
	} {
		var caps rtmp.Capabilities
		h := listen(t, func(c *rtmp.ServerConn, _ rtmp.Event) error {
			caps = c.Capabilities()
			return c.Accept()
		}, called(t, 0, "connect", 1, append(amf0.Object{{Key: "app", Value: "live"}}, tt.properties...)))
		if diff := cmp.Diff(tt.offered, enhanced(t, h.last(t))); diff != "" {
			t.Errorf("%s: the answer offers (-want +got):\n%s", name, diff)
		}
		if caps != tt.caps {
			t.Errorf("%s: capabilities %+v, want %+v", name, caps, tt.caps)
		}
	}
}

func TestCase074ClientsThatUnderstandItAreAskedToReconnectAndGoOnUntilTheyDo(t *testing.T) {
	t.Parallel()
	for bits, want := range map[int]bool{0: false, 2: false, 1: true, 15: true} {
		properties := amf0.Object{{Key: "app", Value: "live"}}
		if bits > 0 {
			properties = append(properties, amf0.Property{Key: "capsEx", Value: bits})
		}
		h := listen(t, func(c *rtmp.ServerConn, ev rtmp.Event) error {
			if err := c.Accept(); err != nil || ev.Kind != rtmp.PublishRequest {
				return err
			}
			asked, err := c.AskToReconnect("rtmp://other/live", "The server is going to stop")
			if asked != want {
				t.Errorf("capsEx %d: asked %v", bits, asked)
			}
			return err
		}, called(t, 0, "connect", 1, properties), called(t, 1, "publish", 5, nil, "cam1"),
			said(t, rtmp.TypeAudio, 1, []byte{0xaf, 1, 2}))

		// The client goes on publishing here until it closes the connection.
		if got := h.kinds(); len(got) != 3 || got[2] != rtmp.Media || !errors.Is(h.end, io.EOF) {
			t.Errorf("capsEx %d: events %v, then %v", bits, got, h.end)
		}
		last := h.last(t)
		if (codeOf(t, last) == "NetConnection.Connect.ReconnectRequest") != want {
			t.Errorf("capsEx %d: the client's last word is %v", bits, last)
		}
		if !want {
			continue
		}
		url, _ := amf0.Properties(last[len(last)-1]).Get("tcUrl")
		if last[0] != uint32(0) || last[2] != 0.0 || url != "rtmp://other/live" {
			t.Errorf("the request is %v", last)
		}
	}
}
