package record

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/internal/auth"
	"sluice/internal/conf"
	"sluice/internal/httpd"
	"sluice/internal/stream"
)

// The routes. What follows a prefix is a stream path or a file.
const (
	routeAll    = "/flv/record/"
	routeStart  = routeAll + "start/"
	routeStop   = routeAll + "stop/"
	routeStatus = routeAll + "status/"
	routeList   = routeAll + "list"
	routeFiles  = routeAll + "files/"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// addRoutes adds the calls of the API.
func (r *recorder) addRoutes(mux *httpd.Mux) {
	mux.Handle(auth.Control, routeStart, httpd.Methods{http.MethodPost: r.serveStart})
	mux.Handle(auth.Control, routeStop, httpd.Methods{http.MethodPost: r.serveStop})
	mux.Handle(auth.Control, routeStatus, httpd.Methods{http.MethodGet: r.serveStatus})
	mux.Handle(auth.Control, routeList, httpd.Methods{http.MethodGet: r.serveList})
	mux.Handle(auth.Control, routeFiles, httpd.Methods{http.MethodGet: r.serveFile, http.MethodDelete: r.serveDelete})
	mux.Handle(auth.Control, routeAll, http.HandlerFunc(serveUnknown))
}

func serveUnknown(w http.ResponseWriter, _ *http.Request) {
	httpd.Error(w, httpd.NewProblem(http.StatusNotFound,
		"no such call: there are start/{streamPath}, stop/{streamPath}, status/{streamPath}, list and files/{file}"))
}

func (r *recorder) serveStart(w http.ResponseWriter, req *http.Request) {
	o, err := parseOptions(req.URL.RawQuery)
	if err != nil {
		httpd.Error(w, httpd.NewProblem(http.StatusBadRequest, err.Error()))
		return
	}
	answerFor(w, req, routeStart, func(ctx context.Context, path string) (Facts, error) { return r.start(ctx, path, o) })
}

func (r *recorder) serveStop(w http.ResponseWriter, req *http.Request) {
	answerFor(w, req, routeStop, r.stop)
}

// answerFor answers with the facts that a call gives for a stream path.
func answerFor(w http.ResponseWriter, req *http.Request, route string, call func(context.Context, string) (Facts, error)) {
	path, err := streamPath(req, route)
	if err != nil {
		httpd.Error(w, err)
		return
	}
	facts, err := call(req.Context(), path)
	if err != nil {
		httpd.Error(w, problem(err))
		return
	}
	httpd.JSON(w, http.StatusOK, facts)
}

func (r *recorder) serveStatus(w http.ResponseWriter, req *http.Request) {
	path, err := streamPath(req, routeStatus)
	if err != nil {
		httpd.Error(w, err)
		return
	}
	if facts, ok := r.status(path); ok {
		httpd.JSON(w, http.StatusOK, facts)
		return
	}
	httpd.JSON(w, http.StatusOK, struct {
		StreamPath string `json:"streamPath"`
		State      State  `json:"state"`
		Error      string `json:"error,omitempty"` // why the last one failed
	}{path, idle, text(r.failure(path))})
}

// text returns what an error says, nothing for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// parseOptions reads the parameters of a start. Its error names them.
func parseOptions(raw string) (o options, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return options{}, fmt.Errorf("the query cannot be read: %w", err)
	}
	var errs []error
	if s := values.Get("arm"); s != "" {
		if o.arm, err = strconv.ParseBool(s); err != nil {
			errs = append(errs, errors.New("arm: must be true or false"))
		}
	}
	for name, to := range map[string]*time.Duration{"before": &o.before, "for": &o.length} {
		s := values.Get(name)
		if s == "" {
			continue
		}
		var d conf.Duration
		if err := d.UnmarshalText([]byte(s)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		*to = d.D()
	}
	return o, errors.Join(errs...)
}

// streamPath returns the stream path behind a route.
func streamPath(req *http.Request, route string) (string, error) {
	path, err := stream.ParsePath(strings.TrimPrefix(req.URL.EscapedPath(), route))
	if err != nil {
		return "", httpd.NewProblem(http.StatusBadRequest, err.Error())
	}
	return path, nil
}

// page is the answer to a listing.
type page struct {
	Items []Facts `json:"items"`
	Next  string  `json:"next"`
	Error string  `json:"error,omitempty"` // what is wrong with the catalogue
}

func (r *recorder) serveList(w http.ResponseWriter, req *http.Request) {
	q, err := parseQuery(req.URL.RawQuery)
	if err != nil {
		httpd.Error(w, httpd.NewProblem(http.StatusBadRequest, err.Error()))
		return
	}
	items, next, err := r.list(q)
	if err != nil {
		httpd.Error(w, problem(err))
		return
	}
	if q.before == "" {
		items = slices.Concat(r.waiting(q.match), items) // they are in no catalogue
	}
	answer := page{Items: items, Error: text(r.store.ailing())}
	if items == nil {
		answer.Items = []Facts{}
	}
	if next != "" {
		answer.Next = cursor(next)
	}
	httpd.JSON(w, http.StatusOK, answer)
}

// query is what a listing asks for.
type query struct {
	stream   string
	state    State
	from, to time.Time // of the start, to is behind the last
	limit    int
	before   string // the place of the last recording of the page before
}

// parseQuery reads the parameters of a listing. Its error names the parameter.
func parseQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, fmt.Errorf("the query cannot be read: %w", err)
	}
	q := query{stream: values.Get("stream"), state: State(values.Get("state")), limit: defaultLimit}
	var errs []error
	if q.stream != "" {
		if err := stream.CheckPath(q.stream); err != nil {
			errs = append(errs, err) // which names it
		}
	}
	if q.state != "" && !q.state.known() {
		errs = append(errs, fmt.Errorf("state: must be one of %s, %s, %s, %s, %s, %s",
			Armed, Running, Reconnecting, Finished, Recovered, Failed))
	}
	for name, to := range map[string]*time.Time{"from": &q.from, "to": &q.to} {
		if s := values.Get(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				errs = append(errs, fmt.Errorf("%s: must be a time such as 2026-01-02T03:04:05Z", name))
			}
		}
	}
	if s := values.Get("limit"); s != "" {
		if q.limit, err = strconv.Atoi(s); err != nil || q.limit < 1 || q.limit > maxLimit {
			errs = append(errs, fmt.Errorf("limit: must be a whole number from 1 to %d", maxLimit))
		}
	}
	if s := values.Get("cursor"); s != "" {
		if q.before, err = parseCursor(s); err != nil {
			errs = append(errs, err)
		}
	}
	return q, errors.Join(errs...)
}

// match tells whether the listing has a recording, whose facts are those of now.
func (q *query) match(f *Facts) bool {
	return q.finds(f) && (q.state == "" || q.state == f.State)
}

// finds tells whether the catalogue may have found a recording.
func (q *query) finds(f *Facts) bool {
	return (q.stream == "" || q.stream == f.StreamPath) && (q.state == "" || q.state.phase() == f.State.phase()) &&
		(q.from.IsZero() || !f.StartedAt.Before(q.from)) && (q.to.IsZero() || f.StartedAt.Before(q.to))
}

// cursor returns the opaque text that continues a listing behind a place.
func cursor(place string) string { return base64.RawURLEncoding.EncodeToString([]byte(place)) }

func parseCursor(s string) (place string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || !isID(string(b)) {
		return "", errors.New(`cursor: must be what "next" of the page before says`)
	}
	return string(b), nil
}

// problem returns the answer for an error of the recorder.
func problem(err error) error {
	p := httpd.NewProblem(http.StatusInternalServerError, err.Error())
	switch {
	case errors.Is(err, errNotLive):
		p = httpd.NewProblem(http.StatusNotFound, "nobody publishes this stream")
	case errors.Is(err, errNotRecorded):
		p = httpd.NewProblem(http.StatusNotFound, "this stream is not being recorded")
	case errors.Is(err, errInUse):
		p = httpd.NewProblem(http.StatusConflict, "the file is being written: stop the recording first")
	case errors.Is(err, errNoStorage):
		p = httpd.NewProblem(http.StatusConflict, "the file lies in storage that record.s3 does not name any more")
	case errors.Is(err, errStorage):
		p = httpd.NewProblem(http.StatusBadGateway, err.Error())
	case errors.Is(err, errClosing), errors.Is(err, context.Canceled):
		p = httpd.NewProblem(http.StatusServiceUnavailable, "the server shuts down, or the call was given up")
	case errors.Is(err, errStuck):
		p = httpd.NewProblem(http.StatusServiceUnavailable, "the disk does not answer: the recording ends once it does")
	case errors.Is(err, errArmed):
		p = httpd.NewProblem(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, errNoRoom):
		p = httpd.NewProblem(http.StatusInsufficientStorage, err.Error())
	case errors.Is(err, syscall.ENOSPC):
		p = httpd.NewProblem(http.StatusInsufficientStorage, "the disk is full")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		p.Detail = "the server may not write there: " + err.Error()
	}
	return p
}
