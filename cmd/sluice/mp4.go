package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/remux"
)

type mp4Cmd struct {
	File string `arg:"" help:"FLV file."`
	Out  string `arg:"" optional:"" help:"Where to write. Without it: beside the file, as .mp4. What is there already is kept."`
}

// Run writes the MP4 file. What was written of one that fails is left there: it
// plays up to that point.
func (c mp4Cmd) Run(_ context.Context, w *world) (err error) {
	in, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	src, err := remux.Open(in, info.Size(), remux.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	name := c.Out
	if name == "" {
		name = strings.TrimSuffix(c.File, filepath.Ext(c.File)) + ".mp4"
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as any program does
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if left := src.LeftOut(); len(left) > 0 {
		fmt.Fprintf(w.stderr, "left out, since MP4 cannot carry it: %s\n", strings.Join(left, ", "))
	}
	if _, err := src.WriteTo(out); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}
