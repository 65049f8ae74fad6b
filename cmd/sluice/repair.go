package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/internal/repair"
)

type repairCmd struct {
	Files []string `arg:"" name:"file" help:"FLV files."`
	Cut   bool     `help:"Cut also what is more than the beginning of a tag at the end: everything behind a damaged place."`
}

// Run repairs the files, and says of each what became of it.
func (c repairCmd) Run(ctx context.Context, w *world) error {
	failed := 0
	for _, name := range c.Files {
		r, err := repair.File(ctx, name, repair.Options{Cut: c.Cut})
		if err != nil {
			failed++
			fmt.Fprintf(w.stderr, "%s: not repaired: %v\n", name, err)
			if errors.Is(err, repair.ErrDamaged) {
				fmt.Fprintf(w.stderr, "%s: --cut keeps what is before that, and loses the rest\n", name)
			}
		} else {
			fmt.Fprintf(w.stdout, "%s: %s\n", name, outcome(r))
		}
		if stopped(ctx) {
			return errors.New("interrupted")
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d files are not repaired", failed, len(c.Files))
	}
	return nil
}

// outcome says what became of a file.
func outcome(r repair.Result) string {
	what := "complete, nothing to do"
	switch r.Action {
	case repair.Finished:
		what = "finished in place"
	case repair.Rebuilt:
		what = "written anew, with room for the index"
	case repair.Nothing:
	}
	if r.Cut > 0 {
		what += fmt.Sprintf(", cut by %d bytes", r.Cut)
	}
	return fmt.Sprintf("%s; %v, %d bytes", what, r.Duration.Round(time.Millisecond), r.Size)
}
