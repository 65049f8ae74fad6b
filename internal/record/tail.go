package record

// tail collects what is appended to a file, so that many tags are one write
// which ends with the last of them.
type tail struct {
	file  file
	size  int64 // of the file, as far as it is known to be written
	buf   []byte
	shown int // how much of buf is in the file already
}

// WriteAt implements [io.WriterAt]. What is behind the end waits for
// [tail.flush], and is changed while it waits.
func (t *tail) WriteAt(p []byte, off int64) (int, error) {
	switch at := off - t.size; {
	case at == int64(len(t.buf)):
		t.buf = append(t.buf, p...)
		return len(p), nil
	case at >= 0 && at+int64(len(p)) <= int64(len(t.buf)):
		return copy(t.buf[at:], p), nil
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.file.WriteAt(p, off)
}

// len returns how many bytes wait.
func (t *tail) len() int { return len(t.buf) }

// end returns how much the file holds.
func (t *tail) end() int64 { return t.size + int64(t.shown) }

// show writes what waits and lets it wait on: the next flush writes it again,
// with what has changed and what follows, at once.
func (t *tail) show() error {
	n, err := t.file.WriteAt(t.buf, t.size)
	t.shown = n
	return err
}

// flush writes what waits. After an error the file may hold a part of it,
// which [tail.end] then counts.
func (t *tail) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	n, err := t.file.WriteAt(t.buf, t.size)
	if err != nil {
		t.shown = max(t.shown, n)
		return err
	}
	t.size += int64(len(t.buf))
	t.buf, t.shown = t.buf[:0], 0
	return nil
}
