package record

import (
	"errors"
	"fmt"
	"time"

	"sluice/media"
)

// cuts tells whether the next file begins with a packet.
func (r *recording) cuts(p *media.Packet) bool {
	c := r.segment
	if c.Duration == 0 && c.Size == 0 || r.empty || p.Kind == media.Data || p.Type != media.Frame {
		return false
	}
	if r.stream.HasVideo() && !isKey(p) {
		return false
	}
	return c.Duration > 0 && p.DTS-r.first >= c.Duration.D() ||
		c.Size > 0 && r.writer.Info().Size >= int64(c.Size)
}

// cut finishes the file and goes on in the next one, which is a recording of
// its own in every list. If the next one cannot begin, the one before is left
// as it is, for the caller to finish.
func (r *recording) cut() error {
	next, facts, err := r.next(Facts{StreamPath: r.stream.Path(), StartedAt: time.Now()}, r.stream)
	if err != nil {
		return fmt.Errorf("beginning the next file: %w", err)
	}
	err = r.flush()
	if err == nil {
		r.count(r.writer.Info())
		err = r.finish()
	}
	if err != nil {
		return errors.Join(err, next.file.Close(), r.store.remove(r.catalog, facts))
	}
	r.settle(nil)
	r.use(next, facts)
	r.store.signal()
	return nil
}
