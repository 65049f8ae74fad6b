package rtmp

// Trace tells how the chunks of a message looked.
type Trace struct {
	Offset   uint64 // of its first chunk, in the bytes that this reader has received
	Format   uint8  // of its first chunk, 0 to 3
	Chunks   int
	Extended bool // the timestamp was an extended one
}

// ReaderStats count what a peer does and should not do.
type ReaderStats struct {
	Skipped         int // messages of unknown types
	MissingExtended int // chunks without the extended timestamp that belongs there
}

// Trace returns how the message that Next returned last was cut into chunks.
func (r *Reader) Trace() Trace { return r.trace }

// Stats returns the counters of this reader.
func (r *Reader) Stats() ReaderStats { return r.stats }
