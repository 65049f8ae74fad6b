package httpflv

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"sluice/internal/fanout"
	"sluice/internal/rendition"
	"sluice/internal/session"
)

// mediaHeader returns the header lines of an answer that carries media, and
// says what of it the profile cannot carry.
func mediaHeader(p rendition.Profile, j rendition.Join, leftOut []string) [][2]string {
	lines := [][2]string{
		{"Content-Type", "video/x-flv"},
		{"Cache-Control", "no-store"},
		{"X-Accel-Buffering", "no"},
		{"X-Content-Type-Options", "nosniff"},
		{"Access-Control-Allow-Origin", "*"},
		{"Access-Control-Expose-Headers", headerProfile + ", " + headerJoin + ", " + headerLeftOut},
		{"Vary", "Origin, Sec-Fetch-Mode, User-Agent"},
		{headerProfile, p.String()},
		{headerJoin, j.String()},
	}
	if len(leftOut) > 0 {
		lines = append(lines, [2]string{headerLeftOut, strings.Join(leftOut, ", ")})
	}
	return lines
}

// isChunked tells whether a body is sent in chunks: from HTTP/2 on the protocol
// itself says where it ends, before HTTP/1.1 the connection does.
func isChunked(r *http.Request) bool { return r.ProtoMajor == 1 && r.ProtoMinor >= 1 }

// responseHead returns the head of a response on a connection that was taken
// from the HTTP server: chunked for HTTP/1.1, so that a clean end can be told
// from a broken one, and up to the end of the connection for HTTP/1.0.
func responseHead(r *http.Request, header [][2]string) []byte {
	b := make([]byte, 0, 1024)
	if isChunked(r) {
		b = append(b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"...)
	} else {
		b = append(b, "HTTP/1.0 200 OK\r\n"...)
	}
	b = append(b, "Connection: close\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\n"...)
	for _, line := range header {
		b = append(b, line[0]...)
		b = append(b, ": "...)
		b = append(b, line[1]...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// lastChunk ends a chunked body, if the stream is over; a viewer that was
// thrown out shall see that the body is not whole.
func lastChunk(reason error) []byte {
	if isThrownOut(reason) {
		return nil
	}
	return []byte("0\r\n\r\n")
}

// isThrownOut tells whether a viewer ended though its stream goes on.
func isThrownOut(reason error) bool {
	for _, r := range []error{session.ErrKicked, session.ErrInternal, fanout.ErrStalled, fanout.ErrLagged, fanout.ErrFlood, fanout.ErrInternal} {
		if errors.Is(reason, r) {
			return true
		}
	}
	return false
}
