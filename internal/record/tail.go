package record

// tail collects what is appended to a file, so that many tags are one write
// which ends with the last of them.
type tail struct {
	file file
	size int64 // of the file, as far as it is known to be written
	buf  []byte
}

// WriteAt implements [io.WriterAt]. Only what is behind the end waits for
// [tail.flush].
func (t *tail) WriteAt(p []byte, off int64) (int, error) {
	if off == t.size+int64(len(t.buf)) {
		t.buf = append(t.buf, p...)
		return len(p), nil
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.file.WriteAt(p, off)
}

// len returns how many bytes wait.
func (t *tail) len() int { return len(t.buf) }

// flush writes what waits. After an error the file may hold a part of it,
// which size then counts.
func (t *tail) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	n, err := t.file.WriteAt(t.buf, t.size)
	t.size += int64(n)
	t.buf = t.buf[:0]
	return err
}
