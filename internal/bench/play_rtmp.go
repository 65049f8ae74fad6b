package bench

import (
	"bytes"
	"fmt"
	"net/url"

	"sluice/amf0"
	"sluice/rtmp"
)

// What tells RTMP from HTTP: in a URL, and at the beginning of an answer.
const (
	schemeRTMP  = "rtmp"
	versionRTMP = 3
)

// requestRTMP returns all that a player has to say, at once: servers answer
// one after the other, and the message stream that they make first is 1.
func requestRTMP(u *url.URL) ([]byte, error) {
	to, err := rtmp.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("reading the URL: %w", err)
	}
	const hello = 1536 // each of C1 and C2
	b := append([]byte{versionRTMP}, make([]byte, 2*hello)...)
	for i, call := range [][]any{
		{"connect", 1, amf0.Object{{Key: "app", Value: to.App}, {Key: "tcUrl", Value: to.TCURL()}}},
		{"createStream", 2, nil},
		{"play", 3, nil, to.Name, -2000},
	} {
		m := rtmp.Message{Type: rtmp.TypeCommand, ChunkStream: 3}
		if i == 2 {
			m.StreamID = 1
		}
		if m.Body, err = amf0.AppendAll(nil, call...); err != nil {
			return nil, fmt.Errorf("asking to play: %w", err)
		}
		if b, err = rtmp.AppendMessage(b, m, rtmp.DefaultChunkSize); err != nil {
			return nil, fmt.Errorf("asking to play: %w", err)
		}
	}
	return b, nil
}

// answeredRTMP tells whether a player was let in, or why not. The codes of
// statuses are looked for as they are: they stand in one chunk each.
func answeredRTMP(b []byte) (fault string, whole bool) {
	for _, code := range []string{rtmp.CodeConnectRejected, rtmp.CodeInvalidApp, rtmp.CodePlayNotFound, rtmp.CodePlayFailed} {
		if bytes.Contains(b, []byte(code)) {
			return code, true
		}
	}
	return "", bytes.Contains(b, []byte(rtmp.CodePlayStart))
}
