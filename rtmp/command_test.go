package rtmp_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"sluice/amf0"
	"sluice/internal/memtest"
	"sluice/rtmp"
)

// FuzzCommand lets a server hear two commands, on any message stream, after a
// good connect. Whatever they are, they end in one of the documented ways and
// the answers can be decoded.
func FuzzCommand(f *testing.F) {
	for _, values := range [][]any{
		{"createStream", 4, nil},
		{"publish", 5, nil, "cam1", "live"},
		{"play", 5, nil, "cam1", -2, -1, false},
		{"deleteStream", 7, nil, 1},
		{"closeStream", 0, nil, "cam1"},
		{"FCUnpublish", 6, nil, "cam1"},
		{"connect", 1, amf0.Object{{Key: "app", Value: 1}}},
	} {
		body, err := amf0.AppendAll(nil, values...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, uint32(1), body, false, uint32(0), append([]byte{0}, body...))
	}
	f.Fuzz(func(t *testing.T, plain bool, id uint32, first []byte, plainToo bool, idToo uint32, second []byte) {
		if len(first) > rtmp.MaxCommand || len(second) > rtmp.MaxCommand {
			return
		}
		typ := func(plain bool) uint8 {
			if plain {
				return rtmp.TypeCommand
			}
			return rtmp.TypeCommandAMF3
		}
		chunks := [][]byte{connected(t), said(t, typ(plain), id, first), said(t, typ(plainToo), idToo, second)}
		input := greeted(chunks...)
		memtest.Bound(t, len(input), func() {
			_ = converse(t, struct {
				io.Reader
				io.Writer
			}{bytes.NewReader(input), io.Discard}, accept, func(rtmp.Event) {})
		})
		h := listen(t, accept, chunks...)
		if !errors.Is(h.end, io.EOF) && !errors.Is(h.end, rtmp.ErrProtocol) && !errors.Is(h.end, rtmp.ErrLimit) {
			t.Fatalf("ended with %v", h.end)
		}
		h.commands(t)
		for _, m := range h.replies {
			if bytes.Contains(m.Body, []byte("_error")) && !bytes.Contains(first, []byte("createStream")) && !bytes.Contains(second, []byte("createStream")) {
				t.Fatalf("an error out of the blue: %x", m.Body)
			}
		}
	})
}
