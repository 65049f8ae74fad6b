package socket

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring makes many sends with one system call, by way of io_uring(7): they are
// written into memory that it shares with the kernel, which makes them all
// when it is entered and leaves there how they went. Since no send waits, all
// are made on the spot. It belongs to one goroutine at a time.
type Ring struct {
	fd      int
	mem     []byte // both queues
	entries []byte
	sq      queue
	cq      queue
	sqes    []sqe
	cqes    []cqe
	sends   [][]byte // what was added, so that the collector leaves it alone
	results []Result
	failed  bool
}

// queue is one of the two between process and kernel. Each side moves one end.
type queue struct {
	head, tail *uint32
	mask       uint32
}

// The structures of linux/io_uring.h.
type (
	offsets struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	completionOffsets struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
	params struct {
		sqEntries, cqEntries, flags, cpu, idle, features, wqFd uint32
		_                                                      [3]uint32
		sq                                                     offsets
		cq                                                     completionOffsets
	}
	sqe struct {
		opcode, flags uint8
		ioprio        uint16
		fd            int32
		offset        uint64
		addr          uint64
		length        uint32
		opFlags       uint32
		userData      uint64
		_             [3]uint64
	}
	cqe struct {
		userData uint64
		result   int32
		flags    uint32
	}
)

const (
	opSend         = 26
	offsetRings    = 0
	offsetEntries  = 0x10000000
	enterGetEvents = 1
	oneMapping     = 1 // a feature: both queues lie in one mapping (Linux 5.4)
	fastPoll       = 1 << 5
)

// NewRing returns a ring, or an error where the system has none for this
// process.
func NewRing() (*Ring, error) {
	var p params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, RingSize, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("%w: %w", errNoRing, errno)
	}
	r := &Ring{fd: int(fd), sends: make([][]byte, 0, RingSize), results: make([]Result, 0, RingSize)}
	if err := r.share(&p); err != nil {
		r.Close()
		return nil, fmt.Errorf("%w: %w", errNoRing, err)
	}
	return r, nil
}

// share maps the memory that is shared with the kernel.
func (r *Ring) share(p *params) (err error) {
	if p.features&oneMapping == 0 || p.features&fastPoll == 0 {
		return unix.ENOSYS // older than Linux 5.7
	}
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.mem, err = unix.Mmap(r.fd, offsetRings, int(size), prot, flags); err != nil {
		return err
	}
	if r.entries, err = unix.Mmap(r.fd, offsetEntries, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), prot, flags); err != nil {
		return err
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.mem[offset])) }
	r.sq = queue{at(p.sq.head), at(p.sq.tail), *at(p.sq.mask)}
	r.cq = queue{at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)}
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&r.mem[p.cq.cqes])), p.cqEntries)
	order := unsafe.Slice(at(p.sq.array), p.sqEntries)
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // i is below RingSize
	}
	return nil
}

// Add adds one send of b, which is not empty and is not changed before
// [Ring.Send] has returned. There is room for [RingSize] of them.
func (r *Ring) Add(fd int, b []byte) {
	i := len(r.sends)
	r.sends = append(r.sends, b)
	r.sqes[(*r.sq.tail+uint32(i))&r.sq.mask] = sqe{ //nolint:gosec // i is below RingSize
		opcode: opSend, fd: int32(fd), //nolint:gosec // descriptors are small
		addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), length: uint32(min(len(b), 1<<30)), //nolint:gosec // bounded
		opFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i), //nolint:gosec // i is below RingSize
	}
}

// Send makes the sends that were added and returns how they went, in the same
// order, valid until the next Add. Like [Send] it goes past the scheduler.
func (r *Ring) Send() []Result {
	n := len(r.sends)
	r.results = r.results[:n]
	for i := range r.results {
		r.results[i] = Result{Err: ErrUnknown}
	}
	todo := n
	atomic.StoreUint32(r.sq.tail, *r.sq.tail+uint32(n)) //nolint:gosec // at most RingSize
	for done := 0; done < n; {
		made, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(todo), uintptr(n-done), enterGetEvents, 0, 0)
		switch errno {
		case 0:
			todo -= int(made)
		case unix.EINTR, unix.EAGAIN, unix.EBUSY:
		default:
			r.failed = true
		}
		done += r.reap()
		if r.failed {
			break
		}
	}
	runtime.KeepAlive(r.sends)
	clear(r.sends)
	r.sends = r.sends[:0]
	return r.results
}

// reap takes the results that are there and returns how many.
func (r *Ring) reap() int {
	head, tail := *r.cq.head, atomic.LoadUint32(r.cq.tail)
	for at := head; at != tail; at++ {
		switch c := r.cqes[at&r.cq.mask]; {
		case c.userData >= uint64(len(r.results)): // no send of ours
		case c.result < 0:
			r.results[c.userData] = Result{Err: unix.Errno(-c.result)}
		default:
			r.results[c.userData] = Result{N: int(c.result)}
		}
	}
	atomic.StoreUint32(r.cq.head, tail)
	return int(tail - head)
}

// Close gives the ring up.
func (r *Ring) Close() {
	for _, m := range [][]byte{r.mem, r.entries} {
		if m != nil {
			_ = unix.Munmap(m) // it is whole
		}
	}
	_ = unix.Close(r.fd) // nothing is under way
}
