// Package record is the module that writes streams to FLV files, on demand by
// its API under /flv/record/, and serves the files.
//
//	stream ─▶ queue ─▶ goroutine ─▶ flv.FileWriter ─▶ tail ─▶ file
//	 (Tap, bounded)                                     │ one write of whole tags
//	                                                    │ at least every 500 ms
//	                       catalogue ◀─ begins, ends ───┘ and fsync at the end
//
// An uploader takes finished files to S3-compatible storage, where one is
// configured, and only then from the disk.
//
// The catalogue is a database that lies outside the folder with the
// recordings. Only what it lists is served, so that no name in a request ever
// reaches the file system. The files remain the truth: one that is gone is
// listed no more, and a catalogue that is lost is made anew from them, and from
// what the storage has.
package record

import (
	"context"
	"fmt"

	"sluice/internal/module"
	"sluice/internal/stream"
)

// name is the module's name; play is the section that turns it off as well.
const (
	name = "record"
	play = "flv"
	// factStorage says where the page is redirected to for a recording.
	factStorage = module.FactFetch + name
)

// Describe declares the module.
func Describe() module.Descriptor {
	d := module.Describe(name, Default(), build)
	d.With = play
	return d
}

func build(_ context.Context, cfg Config, d module.Deps) (module.Module, error) {
	dir, catalog, err := cfg.folders()
	if err != nil {
		return nil, err
	}
	away, err := cfg.S3.open()
	if err != nil {
		return nil, fmt.Errorf("record.s3: %w", err)
	}
	r := &recorder{
		log: d.Log, streams: d.Streams, sessions: d.Sessions,
		store: newStore(dir, catalog, d.Log), config: cfg, space: space{dir, cfg.MinFree, statfs},
		patience: patience, ended: make(chan struct{}),
		open: make(map[string]*recording), failures: make(map[string]error),
	}
	r.store.name = cfg.Name
	d.Streams.Keep(stream.Keep{Time: cfg.Window.D(), Bytes: int(cfg.WindowMemory), Opening: opening})
	if away != nil {
		r.uploads = newUploader(d.Log, r.store, away, cfg.S3)
		r.uploads.facts = d.Facts
		d.Facts.Set(factStorage, cfg.S3.origin())
	}
	// A folder that cannot be used costs the recordings, not the server. Each
	// call tries again and tells its caller.
	if _, err := r.store.open(false); err != nil {
		d.Log.Error("recordings are not available", "err", err)
	}
	r.addRoutes(d.HTTP)
	return r, nil
}
