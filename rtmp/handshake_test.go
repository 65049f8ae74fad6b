package rtmp_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sluice/rtmp"
)

const (
	uptime      = 0x01020304 * time.Millisecond
	blockLen    = 1536
	ffmpegC1Sum = "50c8f966513a733e2726dacd9ebb4544e0ff96b9f54d49f50ac7908fa804a7c9"
	keyTail     = "f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae"
	playerName  = "Genuine Adobe Flash Player 001"
	serverName  = "Genuine Adobe Flash Media Server 001"
)

// noise returns a source of the same random bytes every time.
func noise(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// ffmpegC1 returns the first block of a real client, which is the same in
// every run.
func ffmpegC1(t *testing.T) []byte {
	t.Helper()
	c1 := capture(t, "rtmp_c2s_ffmpeg51_pub_chunk128")[1 : 1+blockLen]
	if got := sha256.Sum256(c1); hex.EncodeToString(got[:]) != ffmpegC1Sum {
		t.Fatalf("C1 has the sum %x, want %s", got, ffmpegC1Sum)
	}
	return c1
}

func hmacOf(key string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte(key))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// digestIn checks the digest at the given place of a first block and returns it.
func digestIn(t *testing.T, b []byte, at int, key string) []byte {
	t.Helper()
	got := b[at : at+32]
	if want := hmacOf(key, b[:at], b[at+32:]); !bytes.Equal(got, want) {
		t.Errorf("digest at %d = %x, want %x", at, got, want)
	}
	return got
}

// places returns where a block carries its digest, in both layouts.
func places(b []byte) (digestFirst, keyFirst int) {
	return 12 + (int(b[8])+int(b[9])+int(b[10])+int(b[11]))%728,
		776 + (int(b[772])+int(b[773])+int(b[774])+int(b[775]))%728
}

// writes remembers each write.
type writes [][]byte

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, bytes.Clone(b))
	return len(b), nil
}

// answer does the server's part against a client that sends C1 and c2, and
// returns S1 and S2.
func answer(t *testing.T, c1, c2 []byte) (s1, s2 []byte) {
	t.Helper()
	var w writes
	in := io.MultiReader(strings.NewReader("\x03"), bytes.NewReader(c1), bytes.NewReader(c2))
	if err := rtmp.ServerHandshake(bufio.NewReader(in), &w, uptime, noise(1)); err != nil {
		t.Fatal(err)
	}
	if len(w) != 1 || len(w[0]) != 1+2*blockLen || w[0][0] != 3 {
		t.Fatalf("%d writes, want S0, S1 and S2 in one", len(w))
	}
	s1, s2 = w[0][1:1+blockLen], w[0][1+blockLen:]
	if !bytes.Equal(s1[:4], []byte{1, 2, 3, 4}) {
		t.Errorf("S1 has the time %x, want the uptime", s1[:4])
	}
	return s1, s2
}

// checkSimple checks that S1 and S2 are an answer without signatures.
func checkSimple(t *testing.T, c1, s1, s2 []byte) {
	t.Helper()
	if !bytes.Equal(s1[4:8], make([]byte, 4)) {
		t.Errorf("S1 has the version %x, want 0", s1[4:8])
	}
	if !bytes.Equal(s2, c1) {
		t.Error("S2 is not C1")
	}
}

// checkSigned checks that S1 and S2 are signed in the given layout.
func checkSigned(t *testing.T, digest, s1, s2 []byte, layout rtmp.Layout) {
	t.Helper()
	if !bytes.Equal(s1[4:8], []byte{4, 5, 0, 1}) {
		t.Errorf("S1 has the version %x", s1[4:8])
	}
	at, key := places(s1)
	if layout == rtmp.KeyFirst {
		at = key
	}
	digestIn(t, s1, at, serverName)
	tail, _ := hex.DecodeString(keyTail)
	want := hmacOf(string(hmacOf(serverName+string(tail), digest)), s2[:1504])
	if !bytes.Equal(s2[1504:], want) {
		t.Errorf("S2 has the signature %x, want %x", s2[1504:], want)
	}
}

func TestCase001ASimpleClientIsAnsweredSimply(t *testing.T) {
	t.Parallel()
	c1 := filled(blockLen, 0xab)
	copy(c1, []byte{0, 0, 0, 9, 0, 0, 0, 0})
	for _, c2 := range [][]byte{make([]byte, blockLen), filled(blockLen, 0xff), c1} {
		s1, s2 := answer(t, c1, c2)
		checkSimple(t, c1, s1, s2)
	}
}

func TestCase002FFmpegIsAnsweredWithASignature(t *testing.T) {
	t.Parallel()
	c1 := ffmpegC1(t)
	at, _ := places(c1)
	if at != 494 {
		t.Fatalf("the digest of C1 is at %d, want 494", at)
	}
	digest := digestIn(t, c1, at, playerName)
	if got := hex.EncodeToString(digest); got != "650bfb9b65f953d848e3456965d0d76b627a84e35e9ddabd8b43f0fadaee458c" {
		t.Errorf("digest = %s", got)
	}
	s1, s2 := answer(t, c1, c1)
	checkSigned(t, digest, s1, s2, rtmp.DigestFirst)
	key := wire("47e29796112deb386c6c4500f516dbe1f6a1fc4fed4410545e8f19e418bc043a")
	if want := hmacOf(string(key), s2[:1504]); !bytes.Equal(s2[1504:], want) {
		t.Errorf("S2 has the signature %x, want %x", s2[1504:], want)
	}
}

func TestCase003ABrokenSignatureIsAnsweredSimply(t *testing.T) {
	t.Parallel()
	c1 := bytes.Clone(ffmpegC1(t))
	c1[600] ^= 1
	s1, s2 := answer(t, c1, c1)
	checkSimple(t, c1, s1, s2)
}

func TestCase004TheOtherLayoutIsAnsweredInKind(t *testing.T) {
	t.Parallel()
	c1 := make([]byte, blockLen)
	if _, err := io.ReadFull(noise(2), c1); err != nil {
		t.Fatal(err)
	}
	_, at := places(c1)
	copy(c1[at:], hmacOf(playerName, c1[:at], c1[at+32:]))
	s1, s2 := answer(t, c1, c1)
	checkSigned(t, c1[at:at+32], s1, s2, rtmp.KeyFirst)
}

func TestCase005ADigestIsFoundInBothLayouts(t *testing.T) {
	t.Parallel()
	digest := wire("6b13d867e07634a25928175336026199f9eeab8d0a2b43e6997f760efa98db6f")
	for at, layout := range map[int]rtmp.Layout{12: rtmp.DigestFirst, 776: rtmp.KeyFirst} {
		c1 := make([]byte, blockLen)
		copy(c1[4:], wire("09007c02"))
		copy(c1[at:], digest)
		s1, s2 := answer(t, c1, c1)
		checkSigned(t, digest, s1, s2, layout)
	}
}

func TestCase006OtherProtocolsAreRefusedAtTheirFirstByte(t *testing.T) {
	t.Parallel()
	for hello, want := range map[string]string{
		"\x06" + strings.Repeat("x", blockLen): "RTMPE",
		"\x08":                                 "RTMPE",
		"\x09":                                 "RTMPE",
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":    "HTTP",
		"POST /open/1 HTTP/1.1\r\n":                    "HTTP",
		"OPTIONS rtsp://localhost RTSP/1.0\r\n":        "HTTP",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "TLS",
		"\x00": "", "\x04": "", "\xff": "",
	} {
		var w writes
		err := rtmp.ServerHandshake(bufio.NewReader(strings.NewReader(hello)), &w, 0, noise(1))
		v, ok := errors.AsType[rtmp.VersionError](err)
		if !errors.Is(err, rtmp.ErrNotRTMP) || !ok || v.Version != hello[0] || v.Protocol() != want {
			t.Errorf("%.8q: ServerHandshake() error = %v, want a VersionError of %q", hello, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.8q: %q does not name %s", hello, err, want)
		}
		if len(w) != 0 {
			t.Errorf("%.8q is answered", hello)
		}
	}
}

// patient is a connection whose peer may be silent for so long, as often as
// it likes.
type patient struct {
	net.Conn
	limit time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.limit)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func TestASlowHandshakeWorksAndAStalledOneEnds(t *testing.T) {
	t.Parallel()
	const (
		pause = 10 * time.Millisecond
		limit = 10 * time.Second
	)
	hello := append([]byte{3}, make([]byte, blockLen)...)
	for name, tc := range map[string]struct {
		sends int
		takes time.Duration
		want  error
	}{
		"every byte":  {len(hello), time.Duration(len(hello)) * pause, nil},
		"then silent": {700, 700*pause + limit, os.ErrDeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			defer here.Close()
			defer there.Close()
			start := time.Now()
			go func() {
				tick := time.NewTicker(pause)
				defer tick.Stop()
				for i := range tc.sends {
					<-tick.C
					_, _ = there.Write(hello[i : i+1]) // the server knows better what arrived
				}
				if tc.sends == len(hello) {
					_, _ = io.CopyN(io.Discard, there, 1+2*blockLen)
					_, _ = there.Write(hello[1:])
				}
			}()
			err := rtmp.ServerHandshake(bufio.NewReader(patient{here, limit}), here, 0, noise(1))
			if took := time.Since(start); !errors.Is(err, tc.want) || took != tc.takes {
				t.Errorf("%s: ServerHandshake() = %v after %v, want %v after %v", name, err, took, tc.want, tc.takes)
			}
		})
	}
}

func TestCase008WhatFollowsTheHandshakeIsNotLost(t *testing.T) {
	t.Parallel()
	all := capture(t, "rtmp_c2s_ffmpeg51_pub_chunk128")
	in := bufio.NewReader(bytes.NewReader(all)) // C2 and connect in one read
	if err := rtmp.ServerHandshake(in, io.Discard, 0, noise(1)); err != nil {
		t.Fatal(err)
	}
	m, err := rtmp.NewReader(in).Next()
	if err != nil || m.Type != rtmp.TypeCommand || !bytes.HasPrefix(m.Body, []byte("\x02\x00\x07connect")) {
		t.Errorf("Next() = %+v, %v; want connect", m, err)
	}
}

func TestCase009AnyC2IsAccepted(t *testing.T) {
	t.Parallel()
	c2 := make([]byte, blockLen)
	if _, err := io.ReadFull(noise(3), c2); err != nil {
		t.Fatal(err)
	}
	answer(t, make([]byte, blockLen), c2)
	answer(t, ffmpegC1(t), c2)
}

func TestClientsThatLeaveInTheHandshakeLeaveNothing(t *testing.T) {
	t.Parallel()
	hello := append([]byte{3}, make([]byte, blockLen)...)
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for range cap(errs) {
		wg.Go(func() {
			for range 10_000 / cap(errs) {
				if err := leave(hello); !errors.Is(err, io.ErrUnexpectedEOF) {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Errorf("ServerHandshake() = %v, want ErrUnexpectedEOF", err)
	}
}

// leave returns what the server makes of a client that sends hello, takes the
// answer and closes the connection. It returns when nothing is left of both.
func leave(hello []byte) error {
	here, there := net.Pipe()
	defer here.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer there.Close()
		if _, err := there.Write(hello); err == nil {
			_, _ = io.CopyN(io.Discard, there, 1+2*blockLen)
		}
	}()
	err := rtmp.ServerHandshake(bufio.NewReaderSize(here, 4096), here, 0, zeros{})
	<-gone
	return err
}

func TestHandshakesThatBreakOffFail(t *testing.T) {
	t.Parallel()
	all := append([]byte{3}, make([]byte, 2*blockLen)...)
	for n := 0; n < len(all); n += 97 {
		in := bufio.NewReader(bytes.NewReader(all[:n]))
		if err := rtmp.ServerHandshake(in, io.Discard, 0, noise(1)); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes from the client: %v", n, err)
		}
		in = bufio.NewReader(bytes.NewReader(all[:n]))
		if err := rtmp.ClientHandshake(in, io.Discard, 0, noise(1), rtmp.Simple); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes from the server: %v", n, err)
		}
	}
}

func TestHandshakesReportABrokenConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	all := append([]byte{3}, make([]byte, 2*blockLen)...)
	fresh := func() *bufio.Reader { return bufio.NewReader(bytes.NewReader(all)) }
	for name, err := range map[string]error{
		"server cannot write":      rtmp.ServerHandshake(fresh(), failing{broken}, 0, noise(1)),
		"client cannot write":      rtmp.ClientHandshake(fresh(), failing{broken}, 0, noise(1), rtmp.Simple),
		"server has no randomness": rtmp.ServerHandshake(fresh(), io.Discard, 0, iotest.ErrReader(broken)),
		"client has no randomness": rtmp.ClientHandshake(fresh(), io.Discard, 0, iotest.ErrReader(broken), rtmp.KeyFirst),
	} {
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing is a writer that fails.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkServerHandshake(b *testing.B) {
	c1 := make([]byte, blockLen)
	copy(c1[4:], wire("09007c02"))
	signed := bytes.Clone(c1)
	copy(signed[776:], wire("6b13d867e07634a25928175336026199f9eeab8d0a2b43e6997f760efa98db6f"))
	for name, c1 := range map[string][]byte{"simple": make([]byte, blockLen), "unsigned": c1, "signed": signed} {
		b.Run(name, func(b *testing.B) {
			all := append(append([]byte{3}, c1...), c1...)
			in := bytes.NewReader(all)
			r := bufio.NewReader(in)
			b.ReportAllocs()
			for b.Loop() {
				in.Reset(all)
				r.Reset(in)
				if err := rtmp.ServerHandshake(r, io.Discard, 0, zeros{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
