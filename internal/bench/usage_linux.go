package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ReadUsage reads what a process has used so far; nothing for 0.
func ReadUsage(pid int) (Usage, error) {
	if pid == 0 {
		return Usage{}, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("reading what process %d uses: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	const utime, stime, rss = 11, 12, 21 // of what follows the name; proc(5)
	if len(f) <= rss {
		return Usage{}, errors.New("what a process uses cannot be read")
	}
	var n [3]int64
	for i, at := range []int{utime, stime, rss} {
		if n[i], err = strconv.ParseInt(f[at], 10, 64); err != nil {
			return Usage{}, fmt.Errorf("reading what process %d uses: %w", pid, err)
		}
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all that Go runs on
	return Usage{CPU: time.Duration(n[0]+n[1]) * tick, RSS: n[2] * int64(os.Getpagesize())}, nil
}
