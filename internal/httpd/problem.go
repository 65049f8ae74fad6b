// Package httpd is the server's one HTTP port: routes by prefix of the raw
// path, scopes, CORS and problem documents. Modules add their routes to a
// [Mux] when they are built.
package httpd

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Problem is an error answer (RFC 9457). The zero Status means 500.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	// RetryAfter is sent as a header where it is positive.
	RetryAfter time.Duration `json:"-"`
	// Headers are added to the answer.
	Headers http.Header `json:"-"`
}

// Error returns the detail, or the title where there is none, so that a
// Problem can travel as an error.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// NewProblem returns a problem with the status' usual title.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// Error answers with a problem document. An error without a [Problem] in its
// tree becomes a 500 that shows none of its text.
func Error(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		p = NewProblem(http.StatusInternalServerError, "")
	}
	h := w.Header()
	maps.Copy(h, p.Headers)
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// JSON answers with v, which must be encodable.
func JSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		Error(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
