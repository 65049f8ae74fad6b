//go:build !linux

package bench

import (
	"context"
	"errors"
	"net"
	"time"
)

// FloorOptions describe the least that any server has to do.
type FloorOptions struct {
	Listen  string
	Viewers int
	BitRate int
	Gap     time.Duration
}

// Floor needs Linux.
func Floor(context.Context, FloorOptions, func(net.Addr)) error {
	return errors.New("the kernel's price can be measured on Linux only")
}
