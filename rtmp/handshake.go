package rtmp

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Layout is where a block of the handshake carries its digest.
type Layout uint8

// The layouts. Everything alive takes [Simple]; only the Flash player needs
// one of the others.
const (
	Simple      Layout = iota // no digest
	DigestFirst               // the digest is in the first half, the key in the second
	KeyFirst                  // the other way round
)

// Sizes of the handshake (5.2).
const (
	version    = 3
	blockLen   = 1536
	digestLen  = sha256.Size
	signedLen  = blockLen - digestLen // of a second block: what its signature covers
	digestSpan = 728                  // the places that a digest may begin at
)

// serverVersion and clientVersion are what a signed first block names. The
// first number has to be at least 3 for a player to check the signature.
const (
	serverVersion = 0x04050001
	clientVersion = 0x09007c02
)

// The keys are a text, which signs a first block, and a tail that belongs to
// it when the answer to a signed block is signed.
const (
	playerKey = "Genuine Adobe Flash Player 001"
	serverKey = "Genuine Adobe Flash Media Server 001"
	keyTail   = "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57" +
		"\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae"
)

// ServerHandshake does the server's part of the handshake. A client that
// signs its block is answered with a signature in the same layout, any other
// one without. Bytes that follow the handshake stay in r; uptime is what the
// server's clock shows, and random fills what has no meaning.
//
// A peer that does not speak RTMP is refused at its first byte, with a
// [VersionError].
func ServerHandshake(r *bufio.Reader, w io.Writer, uptime time.Duration, random io.Reader) error {
	v, err := r.ReadByte()
	if err != nil {
		return fmt.Errorf("reading C0: %w", err)
	}
	if v != version {
		return VersionError{v}
	}
	c1 := make([]byte, blockLen)
	if _, err := io.ReadFull(r, c1); err != nil {
		return fmt.Errorf("reading C1: %w", err)
	}
	answer, err := serverAnswer(c1, uptime, random)
	if err != nil {
		return err
	}
	if _, err := w.Write(answer); err != nil {
		return fmt.Errorf("writing S0, S1 and S2: %w", err)
	}
	// What clients put into C2 differs so much that nobody checks it.
	if _, err := io.CopyN(io.Discard, r, blockLen); err != nil {
		return fmt.Errorf("reading C2: %w", noEOF(err))
	}
	return nil
}

// serverAnswer returns S0, S1 and S2.
func serverAnswer(c1 []byte, uptime time.Duration, random io.Reader) ([]byte, error) {
	answer := make([]byte, 1+2*blockLen)
	answer[0] = version
	s1, s2 := answer[1:1+blockLen], answer[1+blockLen:]
	layout, digest := findDigest(c1, playerKey)
	if err := fillBlock(s1, layout, uptime, serverVersion, serverKey, random); err != nil {
		return nil, err
	}
	if layout == Simple {
		copy(s2, c1)
		return answer, nil
	}
	return answer, signBlock(s2, serverKey, digest, random)
}

// ClientHandshake does the client's part of the handshake. With a layout
// other than [Simple] it signs its block, and then checks a server that signs
// too: an [ErrHandshake] tells that the signature is wrong. Servers that
// answer simply are accepted whatever they answer.
func ClientHandshake(r *bufio.Reader, w io.Writer, uptime time.Duration, random io.Reader, layout Layout) error {
	hello := make([]byte, 1+blockLen)
	hello[0] = version
	c1 := hello[1:]
	if err := fillBlock(c1, layout, uptime, clientVersion, playerKey, random); err != nil {
		return err
	}
	if _, err := w.Write(hello); err != nil {
		return fmt.Errorf("writing C0 and C1: %w", err)
	}
	v, err := r.ReadByte()
	if err != nil {
		return fmt.Errorf("reading S0: %w", err)
	}
	if v != version {
		return VersionError{v}
	}
	answer := make([]byte, 2*blockLen)
	if _, err := io.ReadFull(r, answer); err != nil {
		return fmt.Errorf("reading S1 and S2: %w", err)
	}
	c2, err := clientAnswer(c1, answer[:blockLen], answer[blockLen:], layout, random)
	if err != nil {
		return err
	}
	if _, err := w.Write(c2); err != nil {
		return fmt.Errorf("writing C2: %w", err)
	}
	return nil
}

// clientAnswer checks S1 and S2 and returns C2.
func clientAnswer(c1, s1, s2 []byte, layout Layout, random io.Reader) ([]byte, error) {
	const signs = 3 // the least version of a server that signs
	if layout == Simple || s1[4] < signs {
		return s1, nil
	}
	found, theirs := findDigest(s1, serverKey)
	if found == Simple {
		return nil, fmt.Errorf("no digest in S1: %w", ErrHandshake)
	}
	at := digestAt(c1, layout)
	ours := c1[at : at+digestLen]
	if !hmac.Equal(s2[signedLen:], signature(s2, serverKey, ours)) {
		return nil, fmt.Errorf("wrong signature in S2: %w", ErrHandshake)
	}
	c2 := make([]byte, blockLen)
	return c2, signBlock(c2, playerKey, theirs, random)
}

// fillBlock makes a first block. Without a signature its version is 0, which
// is how peers tell.
func fillBlock(b []byte, layout Layout, uptime time.Duration, vers uint32, key string, random io.Reader) error {
	binary.BigEndian.PutUint32(b, uint32(uptime.Milliseconds()))
	binary.BigEndian.PutUint32(b[4:], 0)
	if _, err := io.ReadFull(random, b[8:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	if layout == Simple {
		return nil
	}
	binary.BigEndian.PutUint32(b[4:], vers)
	at := digestAt(b, layout)
	copy(b[at:], blockDigest(b, at, key))
	return nil
}

// signBlock makes a second block: random bytes and their signature.
func signBlock(b []byte, key string, digest []byte, random io.Reader) error {
	if _, err := io.ReadFull(random, b[:signedLen]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	copy(b[signedLen:], signature(b, key, digest))
	return nil
}

// signature signs a second block with a key made from the digest of the block
// that it answers.
func signature(b []byte, key string, digest []byte) []byte {
	return sum(sum([]byte(key+keyTail), digest), b[:signedLen])
}

// findDigest returns the layout in which the first block b carries a valid
// digest, and the digest; or [Simple] when it carries none.
func findDigest(b []byte, key string) (Layout, []byte) {
	if bytes.Equal(b[4:8], make([]byte, 4)) {
		return Simple, nil
	}
	for _, layout := range []Layout{DigestFirst, KeyFirst} {
		at := digestAt(b, layout)
		digest := b[at : at+digestLen]
		if hmac.Equal(digest, blockDigest(b, at, key)) {
			return layout, digest
		}
	}
	return Simple, nil
}

// digestAt returns where a first block carries its digest: behind four bytes
// whose sum is the way to go.
func digestAt(b []byte, layout Layout) int {
	from := 8
	if layout == KeyFirst {
		from = blockLen/2 + 4
	}
	way := 0
	for _, c := range b[from : from+4] {
		way += int(c)
	}
	return from + 4 + way%digestSpan
}

// blockDigest computes the digest of a first block that carries it at the
// given place.
func blockDigest(b []byte, at int, key string) []byte {
	return sum([]byte(key), b[:at], b[at+digestLen:])
}

func sum(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
