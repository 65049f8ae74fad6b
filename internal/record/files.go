package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/flv"
	"sluice/internal/httpd"
)

// errNoFile says that no recording has that file.
var errNoFile = httpd.NewProblem(http.StatusNotFound, "no recording has this file")

// lookup returns the recording whose file a request names. The name is only
// ever compared with those of the catalogue.
func (r *recorder) lookup(req *http.Request) (Facts, error) {
	raw := strings.TrimPrefix(req.URL.EscapedPath(), routeFiles)
	// A file whose name has a percent sign is also found by those who put it
	// into the URL as it stands: no other file has the name that this decodes to.
	names := []string{raw}
	if plain, err := url.PathUnescape(raw); err == nil && plain != raw {
		names = []string{plain, raw}
	}
	for _, n := range names {
		f, ok, err := r.file(n)
		if err != nil {
			return Facts{}, problem(err)
		}
		if ok {
			return f, nil
		}
	}
	return Facts{}, errNoFile
}

func (r *recorder) serveDelete(w http.ResponseWriter, req *http.Request) {
	f, err := r.lookup(req)
	if err == nil {
		err = r.remove(req.Context(), f.File)
	}
	if err != nil {
		httpd.Error(w, err)
		return
	}
	r.log.Info("deleted a recording", "stream", f.StreamPath, "file", f.File, "remote", req.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
}

func (r *recorder) serveFile(w http.ResponseWriter, req *http.Request) {
	f, err := r.lookup(req)
	if err != nil {
		httpd.Error(w, err)
		return
	}
	at, isSet, err := parseStart(req.URL.RawQuery)
	if err != nil {
		httpd.Error(w, err)
		return
	}
	isMP4, err := wantsMP4(req.URL.RawQuery)
	if err != nil {
		httpd.Error(w, err)
		return
	}
	follow, err := parseFollow(req.URL.RawQuery)
	if err == nil && follow && isMP4 {
		err = httpd.NewProblem(http.StatusBadRequest, "follow: there is none with format=mp4")
	}
	if err != nil {
		httpd.Error(w, err)
		return
	}
	file, err := r.store.openFile(f.File)
	if errors.Is(err, fs.ErrNotExist) && f.Remote != nil && f.Remote.State == Stored {
		r.serveAway(w, req, f.Remote)
		return
	}
	if err != nil {
		httpd.Error(w, missing(err))
		return
	}
	defer file.Close()
	if follow && !f.repairing {
		r.serveGrowing(w, req, f, file, at)
		return
	}
	info, err := file.Stat()
	if err != nil {
		httpd.Error(w, problem(err))
		return
	}
	size, modified := info.Size(), info.ModTime()
	header := w.Header()
	if f.busy() {
		size, modified = min(size, f.Bytes), time.Time{} // up to the last whole tag
		header.Set("Cache-Control", "no-store")
	} else {
		header.Set("Cache-Control", "private, no-cache")
		header.Set("Etag", fmt.Sprintf(`"%s-%x-%x"`, f.ID, size, modified.UnixNano()))
	}
	out := patient{w, req}
	if isMP4 {
		r.serveMP4(out, req, f, file, size)
		return
	}
	body := io.ReadSeeker(io.NewSectionReader(file, 0, size))
	if isSet {
		if body, err = newSpliced(file, size, at); err != nil {
			header.Del("Etag")
			httpd.Error(w, unreadable(fmt.Errorf("looking for the place to begin: %w", err)))
			return
		}
	}
	fileHeaders(w)
	serveRanges(out, req, modified, body)
}

// missing is the answer for a file that cannot be opened.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return httpd.NewProblem(http.StatusNotFound, "the file of this recording is gone")
	}
	return problem(err)
}

// unreadable is the answer for a file that cannot be read as FLV.
func unreadable(err error) error {
	for _, broken := range []error{flv.ErrHeader, flv.ErrShort, flv.ErrTagTooLong, io.ErrUnexpectedEOF} {
		if errors.Is(err, broken) {
			return httpd.NewProblem(http.StatusConflict, "the file is no FLV file, or is damaged: "+err.Error())
		}
	}
	return problem(err)
}

// parseStart reads the parameter start, in seconds.
func parseStart(raw string) (at time.Duration, isSet bool, err error) {
	return parseSeconds(raw, "start")
}

// parseSeconds reads a parameter that is a number of seconds.
func parseSeconds(raw, name string) (at time.Duration, isSet bool, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return 0, false, httpd.NewProblem(http.StatusBadRequest, "the query cannot be read: "+err.Error())
	}
	text := values.Get(name)
	if text == "" {
		return 0, false, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	isLiteral := strings.ContainsAny(text, "_xX") // which is Go's way to write numbers
	if err != nil || isLiteral || !(seconds >= 0) || seconds > math.MaxInt32 {
		return 0, false, httpd.NewProblem(http.StatusBadRequest, name+": must be a number of seconds, such as 90 or 12.5")
	}
	return time.Duration(seconds * float64(time.Second)), true, nil
}

// spliced is a head from memory and the rest of a file behind it.
type spliced struct {
	head []byte
	rest *io.SectionReader
	pos  int64
}

// newSpliced returns the file from the newest key frame that is not behind at,
// with header, onMetaData and configurations before it.
func newSpliced(file io.ReaderAt, size int64, at time.Duration) (*spliced, error) {
	start, err := flv.SeekFile(file, size, at)
	if err != nil {
		return nil, err
	}
	return &spliced{head: start.Head, rest: io.NewSectionReader(file, start.Offset, size-start.Offset)}, nil
}

// Read implements [io.Reader].
func (s *spliced) Read(p []byte) (int, error) {
	var n int
	var err error
	if at := s.pos - int64(len(s.head)); at < 0 {
		n = copy(p, s.head[s.pos:])
	} else {
		n, err = s.rest.ReadAt(p, at)
	}
	s.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Seek implements [io.Seeker].
func (s *spliced) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.pos
	case io.SeekEnd:
		offset += int64(len(s.head)) + s.rest.Size()
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	s.pos = offset
	return offset, nil
}
