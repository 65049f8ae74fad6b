//go:build !linux

package bench

import (
	"context"
	"errors"
)

// Play needs Linux.
func Play(context.Context, PlayOptions) (PlayResult, error) {
	return PlayResult{}, errors.New("many viewers can be played on Linux only")
}
