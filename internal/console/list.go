package console

import (
	"net"
	"net/http"
	"time"

	"sluice/flv"
	"sluice/internal/httpd"
	"sluice/internal/module"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

type streamList struct {
	Streams []streamItem `json:"streams"`
}

type streamItem struct {
	Path      string      `json:"path"`
	StartedAt time.Time   `json:"startedAt"`
	State     string      `json:"state"` // live, or reconnecting while its publisher is lost
	Viewers   int         `json:"viewers"`
	Bytes     int64       `json:"bytes"`
	Tracks    []trackItem `json:"tracks"`
}

type trackItem struct {
	ID         uint8  `json:"id"`
	Kind       string `json:"kind"`
	Codec      string `json:"codec"`
	MIME       string `json:"mime,omitempty"`
	Width      int    `json:"width,omitempty"`
	Height     int    `json:"height,omitempty"`
	SampleRate int    `json:"sampleRate,omitempty"`
	Channels   int    `json:"channels,omitempty"`
}

// streams answers with what is live or held for its publisher, in the order of
// the paths.
func streams(registry *stream.Registry, sessions *session.List) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := streamList{Streams: []streamItem{}}
		for _, s := range registry.Streams() {
			list.Streams = append(list.Streams, streamItem{
				Path:      s.Path(),
				StartedAt: s.Started().UTC(),
				State:     string(s.State()),
				Viewers:   sessions.Count(session.Viewer, s.Path()),
				Bytes:     s.Bytes(),
				Tracks:    describe(s.Tracks()),
			})
		}
		httpd.JSON(w, http.StatusOK, list)
	}
}

func describe(tracks []media.Track) []trackItem {
	items := []trackItem{}
	for _, t := range tracks {
		i := flv.DescribeTrack(t)
		items = append(items, trackItem{
			ID: t.ID, Kind: t.Kind.String(), Codec: t.Codec.String(), MIME: i.MIME,
			Width: i.Width, Height: i.Height, SampleRate: i.SampleRate, Channels: i.Channels,
		})
	}
	return items
}

type factList struct {
	// RTMP is where to publish, ":1935" when the page's own host name is the
	// one to use, empty where RTMP is off.
	RTMP string `json:"rtmp"`
	// RTMPS is the same with TLS, left out where there is none.
	RTMPS string `json:"rtmps,omitempty"`
	// Play tells whether there is a player to show.
	Play bool `json:"play"`
}

// facts answers with what the page needs to build addresses.
func facts(known *module.Facts) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		httpd.JSON(w, http.StatusOK, factList{
			RTMP:  publicAddress(known.Get(module.FactRTMP)),
			RTMPS: publicAddress(known.Get(module.FactRTMPS)),
			Play:  known.Get(module.FactPlay) == "on",
		})
	}
}

// publicAddress takes the host from an address that listens on all of the
// machine's.
func publicAddress(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() || host == "" {
		return ":" + port
	}
	return addr
}
