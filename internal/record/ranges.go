package record

import (
	"io"
	"net/http"
	"strings"
	"time"

	"sluice/internal/httpd"
)

// serveRanges answers with a file or the ranges of it that are asked for. What
// is no range of bytes is ignored (RFC 9110, 14.2).
func serveRanges(w http.ResponseWriter, req *http.Request, modified time.Time, file io.ReadSeeker) {
	if ranges, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes="); !ok || isNothing(ranges) {
		req.Header.Del("Range")
	}
	http.ServeContent(&problems{ResponseWriter: w}, req, "", modified, file)
}

// isNothing tells whether a range is that of the last 0 bytes, of which the
// standard library makes an answer that ends before it begins.
func isNothing(ranges string) bool {
	last, ok := strings.CutPrefix(strings.TrimSpace(ranges), "-")
	return ok && last != "" && strings.Trim(last, "0") == ""
}

// problems is an answer whose errors are problem documents, in place of the
// plain text of the standard library.
type problems struct {
	http.ResponseWriter

	refused bool
}

// WriteHeader implements [http.ResponseWriter].
func (p *problems) WriteHeader(status int) {
	detail := "the file is another one by now"
	switch status {
	default:
		p.ResponseWriter.WriteHeader(status)
		return
	case http.StatusRequestedRangeNotSatisfiable:
		detail = "the file has none of these bytes"
	case http.StatusPreconditionFailed:
	}
	p.refused = true
	p.Header().Del("Etag")
	httpd.Error(p.ResponseWriter, httpd.NewProblem(status, detail))
}

// Write implements [io.Writer].
func (p *problems) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}
