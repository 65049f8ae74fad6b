package record

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"sluice/internal/httpd"
	"sluice/internal/remux"
)

// headerLeftOut names the tracks that an answer does not have.
const headerLeftOut = "Sluice-Left-Out"

// wantsMP4 reads the parameter format.
func wantsMP4(raw string) (bool, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return false, httpd.NewProblem(http.StatusBadRequest, "the query cannot be read: "+err.Error())
	}
	switch values.Get("format") {
	case "", "flv":
		return false, nil
	case "mp4":
		return true, nil
	}
	return false, httpd.NewProblem(http.StatusBadRequest, "format: must be flv or mp4")
}

// serveMP4 answers with a recording as MP4, which is made while it is sent, so
// that its length is not known. One whose file is being written ends with what
// is there by now.
func (r *recorder) serveMP4(w http.ResponseWriter, req *http.Request, f Facts, file io.ReaderAt, size int64) {
	header := w.Header()
	header.Del("Etag") // that of the FLV file
	o := remux.Options{Growing: f.busy()}
	var err error
	if o.Start, _, err = parseSeconds(req.URL.RawQuery, "start"); err == nil {
		o.End, _, err = parseSeconds(req.URL.RawQuery, "end")
	}
	if err == nil && o.End > 0 && o.End <= o.Start {
		err = httpd.NewProblem(http.StatusBadRequest, "end: must be behind start")
	}
	if err != nil {
		httpd.Error(w, err)
		return
	}
	src, err := remux.Open(file, size, o)
	if err != nil {
		httpd.Error(w, unsuited(err))
		return
	}
	header.Set("Accept-Ranges", "none")
	header.Set("Content-Type", "audio/mp4")
	if src.HasVideo() {
		header.Set("Content-Type", "video/mp4")
	}
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": mp4Name(f)}))
	header.Set("X-Content-Type-Options", "nosniff")
	if left := src.LeftOut(); len(left) > 0 {
		header.Set(headerLeftOut, strings.Join(left, ", "))
	}
	if req.Method == http.MethodHead {
		return
	}
	if n, err := src.WriteTo(w); err != nil {
		if req.Context().Err() == nil {
			r.log.Warn("an MP4 file ends early", "stream", f.StreamPath, "file", f.File, "bytes", n, "err", err)
		}
		panic(http.ErrAbortHandler) // so that nobody takes it for whole
	}
}

// unsuited is the answer for a file that cannot become MP4.
func unsuited(err error) error {
	if errors.Is(err, remux.ErrNothing) {
		return httpd.NewProblem(http.StatusUnsupportedMediaType, err.Error())
	}
	return unreadable(err)
}

// mp4Name is the name under which a recording is saved: that of the stream and
// that of the file.
func mp4Name(f Facts) string {
	name := strings.TrimSuffix(path.Base(f.File), path.Ext(f.File))
	return strings.ReplaceAll(f.StreamPath, "/", "-") + "-" + name + ".mp4"
}
