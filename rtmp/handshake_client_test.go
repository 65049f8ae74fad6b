package rtmp_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"

	"sluice/rtmp"
)

func TestBothEndsOfTheHandshakeUnderstandEachOther(t *testing.T) {
	t.Parallel()
	for _, layout := range []rtmp.Layout{rtmp.Simple, rtmp.DigestFirst, rtmp.KeyFirst} {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- rtmp.ServerHandshake(bufio.NewReader(here), here, uptime, noise(1)) }()
		if err := rtmp.ClientHandshake(bufio.NewReader(there), there, 0, noise(2), layout); err != nil {
			t.Errorf("layout %d: ClientHandshake() = %v", layout, err)
		}
		if err := <-done; err != nil {
			t.Errorf("layout %d: ServerHandshake() = %v", layout, err)
		}
		here.Close()
		there.Close()
	}
}

// dial does the client's part against a server whose S1 and S2 are changed by
// spoil, and returns C1 and C2.
func dial(layout rtmp.Layout, spoil func(answer []byte)) (c1, c2 []byte, err error) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	sent := make(chan []byte, 2)
	go func() {
		defer close(sent)
		hello := make([]byte, 1+blockLen)
		_, _ = io.ReadFull(there, hello) // a client that breaks off is noticed below
		sent <- hello[1:]
		var w writes
		in := io.MultiReader(bytes.NewReader(hello), bytes.NewReader(hello[1:]))
		if rtmp.ServerHandshake(bufio.NewReader(in), &w, uptime, noise(1)) != nil {
			return
		}
		spoil(w[0])
		_, _ = there.Write(w[0])
		c2 := make([]byte, blockLen)
		if _, err := io.ReadFull(there, c2); err == nil {
			sent <- c2
		}
	}()
	err = rtmp.ClientHandshake(bufio.NewReader(here), here, uptime, noise(2), layout)
	here.Close()
	return <-sent, <-sent, err
}

func TestTheClientAnswersAndChecksTheServer(t *testing.T) {
	t.Parallel()
	kept := func([]byte) {}
	c1, c2, err := dial(rtmp.Simple, kept)
	if err != nil || !bytes.Equal(c1[:8], []byte{1, 2, 3, 4, 0, 0, 0, 0}) {
		t.Errorf("simple: C1 begins with %x, %v", c1[:8], err)
	}
	if len(c2) != blockLen || !bytes.Equal(c2[:4], []byte{1, 2, 3, 4}) {
		t.Error("simple: C2 is not S1")
	}
	for _, layout := range []rtmp.Layout{rtmp.DigestFirst, rtmp.KeyFirst} {
		for name, tc := range map[string]struct {
			spoil func([]byte)
			want  error
		}{
			"intact":               {kept, nil},
			"digest of S1 broken":  {func(b []byte) { b[500] ^= 1 }, rtmp.ErrHandshake},
			"signature of S2":      {func(b []byte) { b[len(b)-1] ^= 1 }, rtmp.ErrHandshake},
			"contents of S2":       {func(b []byte) { b[1600] ^= 1 }, rtmp.ErrHandshake},
			"simple server":        {func(b []byte) { copy(b[5:9], "\x00\x00\x00\x00"); b[1600] ^= 1 }, nil},
			"server of version 6":  {func(b []byte) { b[0] = 6 }, rtmp.ErrNotRTMP},
			"server talks in HTTP": {func(b []byte) { copy(b, "HTTP/1.1 400 Bad Request") }, rtmp.ErrNotRTMP},
		} {
			if _, _, err := dial(layout, tc.spoil); !errors.Is(err, tc.want) {
				t.Errorf("layout %d, %s: ClientHandshake() = %v, want %v", layout, name, err, tc.want)
			}
		}
	}
}

func TestTheClientsSignatureBelongsToTheServersDigest(t *testing.T) {
	t.Parallel()
	var s1 []byte
	_, c2, err := dial(rtmp.DigestFirst, func(b []byte) { s1 = bytes.Clone(b[1 : 1+blockLen]) })
	if err != nil {
		t.Fatal(err)
	}
	at, _ := places(s1)
	tail, _ := hex.DecodeString(keyTail)
	want := hmacOf(string(hmacOf(playerName+string(tail), s1[at:at+32])), c2[:1504])
	if !bytes.Equal(c2[1504:], want) {
		t.Errorf("C2 has the signature %x, want %x", c2[1504:], want)
	}
}
