package bench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How the viewers of [Play] work: one loop over all sockets, which throws
// away in the kernel what has come.
const (
	pollEvery    = 5 * time.Millisecond
	connectBatch = 100 // connections that are under way at a time
	perSource    = 20_000
	discardLen   = 1 << 20
	answerLimit  = 20 * time.Second
	firstAlone   = 3 * time.Second
)

// Play plays with many viewers at the least cost: no goroutines, no memory for
// what is read. It needs a file descriptor for each viewer.
func Play(ctx context.Context, o PlayOptions) (PlayResult, error) {
	p := &player{o: o, buf: make([]byte, discardLen), viewers: map[int32]*viewer{}}
	defer p.close()
	if err := p.open(ctx); err != nil {
		return PlayResult{}, err
	}
	return p.run(ctx)
}

type viewer struct {
	fd      int
	answer  []byte // until it is complete; nil behind it
	playing bool
	gone    bool
	stalled bool
	bytes   int64
}

type player struct {
	o       PlayOptions
	epoll   int
	buf     []byte
	viewers map[int32]*viewer
	waiting int // for an answer
	all     []*viewer
	fault   string
}

func (p *player) close() {
	for _, v := range p.all {
		if !v.gone {
			unix.Close(v.fd) //nolint:errcheck // nothing is lost
		}
	}
	if p.epoll > 0 {
		unix.Close(p.epoll) //nolint:errcheck // nothing is lost
	}
}

// open connects all viewers and waits for their answers.
func (p *player) open(ctx context.Context) (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("making an epoll: %w", err)
	}
	for n := range p.o.Viewers {
		p.waiting++
		if err := p.connect(ctx, n); err != nil {
			return fmt.Errorf("viewer %d: %w", n, err)
		}
		if n == 0 && !p.o.Stalled && p.o.PID != 0 && p.o.Base == 0 {
			if err := p.first(ctx); err != nil {
				return err
			}
		}
		for p.waiting >= connectBatch {
			if err := p.poll(ctx, 1000); err != nil {
				return err
			}
		}
	}
	deadline := time.Now().Add(answerLimit)
	for p.waiting > 0 {
		if err := p.poll(ctx, 100); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d viewers got no answer in %v", p.waiting, p.o.Viewers, answerLimit)
		}
	}
	if !p.o.Stalled && len(p.viewers) == 0 {
		return fmt.Errorf("no viewer was let in: %s", p.fault)
	}
	return nil
}

// first lets the first viewer play alone for a while, to know what the server
// weighs with one.
func (p *player) first(ctx context.Context) error {
	for p.waiting > 0 {
		if err := p.poll(ctx, 100); err != nil {
			return err
		}
	}
	if err := p.play(ctx, firstAlone, "one viewer"); err != nil {
		return err
	}
	u, err := ReadUsage(p.o.PID)
	p.o.Base = u.RSS
	return err
}

// connect opens the connection of viewer n and sends its request.
func (p *player) connect(ctx context.Context, n int) error {
	of := max(1, p.o.Streams)
	u, err := url.Parse(StreamURL(p.o.URL, n%of, of))
	if err != nil {
		return fmt.Errorf("reading the URL: %w", err)
	}
	addr, err := resolve(ctx, u)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket (is the limit of open files too low?): %w", err)
	}
	v := &viewer{fd: fd, answer: []byte{}}
	p.all = append(p.all, v)
	if p.o.Stalled {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			return fmt.Errorf("setting up a socket: %w", err)
		}
	}
	if addr.Addr().IsLoopback() {
		// One address has too few ports for all viewers.
		src := addr.Addr().As4()
		src[3] += byte(1 + n/perSource)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: src}); err != nil {
			return fmt.Errorf("binding a source address: %w", err)
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}); err != nil {
		return fmt.Errorf("connecting to %s: %w", addr, err)
	}
	ask, err := request(u)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, ask); err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("setting up a socket: %w", err)
	}
	p.viewers[int32(fd)] = v                                                                                     //nolint:gosec // file descriptors are small
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}) // small; never happens
}

// resolve returns the IPv4 address of the URL's host.
func resolve(ctx context.Context, u *url.URL) (netip.AddrPort, error) {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		port = 80
		if u.Scheme == schemeRTMP {
			port = 1935
		}
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", u.Hostname())
	if err != nil || len(ips) == 0 {
		return netip.AddrPort{}, fmt.Errorf("looking up %s: %w", u.Hostname(), err)
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

func request(u *url.URL) ([]byte, error) {
	if u.Scheme == schemeRTMP {
		return requestRTMP(u)
	}
	b := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sluice-bench\r\n", u.RequestURI(), u.Host)
	if u.Scheme == "ws" {
		key := make([]byte, 16)
		_, _ = rand.Read(key) // never fails
		b += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
			base64.StdEncoding.EncodeToString(key) + "\r\n"
	}
	return []byte(b + "\r\n"), nil
}

// sweep takes the input of all viewers once.
func (p *player) sweep(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, v := range p.all {
		if !v.gone && !v.stalled {
			p.take(v)
		}
	}
	return nil
}

// poll waits for input, up to ms milliseconds, and takes it.
func (p *player) poll(ctx context.Context, ms int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var events [1024]unix.EpollEvent
	n, err := unix.EpollWait(p.epoll, events[:], ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for input: %w", err)
	}
	for _, e := range events[:max(n, 0)] {
		p.take(p.viewers[e.Fd])
	}
	return nil
}

// take reads what one viewer was sent: the answer, then media to be discarded.
func (p *player) take(v *viewer) {
	flags := unix.MSG_TRUNC // of TCP, discards what it reads
	if !v.playing {
		flags = 0
	}
	n, _, err := unix.Recvfrom(v.fd, p.buf, flags)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil, n == 0:
		p.drop(v, "the server closed the connection")
		return
	case v.playing:
		v.bytes += int64(n)
		return
	}
	v.answer = append(v.answer, p.buf[:n]...)
	fault, whole := answered(v.answer)
	if !whole {
		return
	}
	if fault != "" {
		p.drop(v, fault)
		return
	}
	v.playing, v.answer = true, nil
	p.waiting--
	// From now on it is looked at in turn: a wake-up for each packet would be
	// paid by the sender.
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, v.fd, nil) // it was added
}

// answered tells whether an answer is whole, and what is wrong with it.
func answered(b []byte) (fault string, whole bool) {
	if b[0] == versionRTMP {
		return answeredRTMP(b)
	}
	head, _, whole := strings.Cut(string(b), "\r\n\r\n")
	status, _, _ := strings.Cut(head, "\r\n")
	if strings.Contains(status, " 200") || strings.Contains(status, " 101") {
		return "", whole
	}
	return status, whole
}

func (p *player) drop(v *viewer, fault string) {
	if !v.playing {
		p.waiting--
	}
	p.fault = fault
	v.gone = true
	delete(p.viewers, int32(v.fd)) //nolint:gosec // file descriptors are small
	unix.Close(v.fd)               //nolint:errcheck // nothing is lost
}

// run plays through warm-up and measurement.
func (p *player) run(ctx context.Context) (PlayResult, error) {
	if err := p.play(ctx, p.o.Warmup, "warming up"); err != nil {
		return PlayResult{}, err
	}
	gone := len(p.all) - len(p.viewers)
	for _, v := range p.all {
		v.bytes = 0
	}
	before, err := ReadUsage(p.o.PID)
	if err != nil {
		return PlayResult{}, err
	}
	start := time.Now()
	if err := p.play(ctx, p.o.Duration, "playing"); err != nil {
		return PlayResult{}, err
	}
	took := time.Since(start)
	after, err := ReadUsage(p.o.PID)
	if err != nil {
		return PlayResult{}, err
	}
	var r PlayResult
	bytes := make([]int64, len(p.all))
	for i, v := range p.all {
		bytes[i] = v.bytes
	}
	r.sumUp(bytes, took)
	r.Dropped, r.Errors = len(p.all)-len(p.viewers)-gone, p.fault
	r.Viewers = len(p.viewers)
	if p.o.PID != 0 {
		r.charge(before, after, p.o.Base)
	}
	return r, nil
}

// play takes input for a while. It pauses between two looks, so that many
// small packets cost one read.
func (p *player) play(ctx context.Context, d time.Duration, what string) error {
	end := time.Now().Add(d)
	said := time.Now()
	pause := time.NewTicker(pollEvery)
	defer pause.Stop()
	for time.Now().Before(end) {
		if err := p.sweep(ctx); err != nil {
			return err
		}
		if p.o.Progress != nil && time.Since(said) > time.Second {
			said = time.Now()
			p.o.Progress(fmt.Sprintf("%s: %d viewers, %.0f s left", what, len(p.viewers), time.Until(end).Seconds()))
		}
		<-pause.C
	}
	return nil
}
