package record

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"sluice/flv"
	"sluice/internal/httpd"
)

const (
	// followStep is how much of a file is sent at once, and how much memory
	// a follower costs.
	followStep = 64 << 10
	// writeLimit is how long a client may take for that.
	writeLimit = 30 * time.Second
)

// serveGrowing sends a file from the newest key frame that is not behind at, and
// what is written to it from then on, until its recording ends.
func (r *recorder) serveGrowing(w http.ResponseWriter, req *http.Request, f Facts, file *os.File, at time.Duration) {
	size, more, err := r.progress(f, file)
	if err != nil {
		httpd.Error(w, problem(err))
		return
	}
	start, err := flv.FollowFile(file, size, at)
	if err != nil {
		httpd.Error(w, unreadable(err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	fileHeaders(w)
	w.WriteHeader(http.StatusOK)
	out := patient{w, req}
	if req.Method == http.MethodHead {
		return
	}
	defer out.bound() // the end of the answer is to be taken too
	if _, err := out.Write(start.Head); err != nil {
		return // the client is gone
	}
	buf := make([]byte, followStep)
	for sent := start.Offset; ; {
		n, err := io.CopyBuffer(out, io.NewSectionReader(file, sent, size-sent), buf)
		sent += n
		if err == nil && sent == size {
			err = out.rest()
		}
		if err != nil || sent < size {
			panic(http.ErrAbortHandler) // what was sent must not look complete
		}
		if more == nil || wait(req.Context(), more) != nil {
			return
		}
		if size, more, err = r.progress(f, file); err != nil {
			panic(http.ErrAbortHandler)
		}
		size = max(size, sent) // what could not be written to its end is cut
	}
}

// parseFollow reads the parameter follow.
func parseFollow(raw string) (bool, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return false, httpd.NewProblem(http.StatusBadRequest, "the query cannot be read: "+err.Error())
	}
	text := values.Get("follow")
	if text == "" {
		return false, nil
	}
	follow, err := strconv.ParseBool(text)
	if err != nil {
		return false, httpd.NewProblem(http.StatusBadRequest, "follow: must be true or false")
	}
	return follow, nil
}

// progress returns how much of a file is there in whole tags, and what is
// closed when there is more: nil where nothing will follow.
func (r *recorder) progress(f Facts, file *os.File) (size int64, more <-chan struct{}, err error) {
	if rec := r.find(f.StreamPath); rec != nil {
		if size, more, ok := rec.progress(f.ID); ok {
			return size, more, nil
		}
	}
	info, err := file.Stat()
	if err != nil {
		return 0, nil, err
	}
	return info.Size(), nil, nil
}

// progress is that of a recording which has begun and is not over.
func (r *recording) progress(id string) (size int64, more <-chan struct{}, ok bool) {
	select {
	case <-r.begun:
	default:
		return 0, nil, false
	}
	if r.startErr != nil {
		return 0, nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.facts.ID != id || !r.facts.State.open() {
		return 0, nil, false
	}
	return r.facts.Bytes, r.grown, true
}

// patient is an answer whose client may take its time, as long as it takes
// something.
type patient struct {
	http.ResponseWriter

	req *http.Request
}

// Write implements [io.Writer].
func (p patient) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		p.bound()
		m, err := p.ResponseWriter.Write(b[:min(len(b), followStep)])
		if n += m; err != nil {
			return n, err
		}
		b = b[m:]
	}
	return n, nil
}

// rest sends what has been written. The client, which has taken all, is waited
// for no more until there is something to take again: over HTTP/2 the end of that
// time would end the answer.
func (p patient) rest() error {
	if err := http.NewResponseController(p.ResponseWriter).Flush(); err != nil {
		return err
	}
	httpd.AnswerBy(p.ResponseWriter, p.req, time.Time{})
	return nil
}

// bound says that what is written has to be taken by then.
func (p patient) bound() {
	httpd.AnswerBy(p.ResponseWriter, p.req, time.Now().Add(writeLimit))
}

// fileHeaders sets what all answers with a file say.
func fileHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "video/x-flv")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
