package app

import (
	"cmp"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"

	"sluice/internal/auth"
	"sluice/internal/httpd"
	"sluice/internal/session"
)

// statePath is where the process tells how it is.
const statePath = "/debug/state"

// state is what the process is doing, and what has ended since its start.
type state struct {
	Goroutines  int    `json:"goroutines"`
	HeapBytes   uint64 `json:"heapBytes"`   // in use, garbage included
	MemoryBytes uint64 `json:"memoryBytes"` // taken from the system by Go
	Publishers  int    `json:"publishers"`
	Viewers     int    `json:"viewers"`
	Recordings  int    `json:"recordings"`
	Ended       []end  `json:"ended"`
}

// end is how often sessions, or connections before they came to one, have ended
// in the same way.
type end struct {
	Role   session.Role `json:"role,omitempty"`
	Proto  string       `json:"proto"`
	Reason string       `json:"reason"`
	Count  int64        `json:"count"`
}

// serveState adds the route. Whoever has control may ask for a collection of the
// garbage first, with ?collect=1, and for what is free to be given back, to see what
// is really in use.
func serveState(mux *httpd.Mux, sessions *session.List) {
	mux.Handle(auth.Control, statePath, httpd.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("collect") == "1" {
			debug.FreeOSMemory()
		}
		httpd.JSON(w, http.StatusOK, readState(sessions))
	}})
}

func readState(sessions *session.List) state {
	memory := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(memory)
	s := state{
		Goroutines:  runtime.NumGoroutine(),
		HeapBytes:   memory[0].Value.Uint64(),
		MemoryBytes: memory[1].Value.Uint64() - memory[2].Value.Uint64(),
		Publishers:  sessions.Count(session.Publisher, ""),
		Viewers:     sessions.Count(session.Viewer, ""),
		Recordings:  sessions.Count(session.Recording, ""),
		Ended:       []end{},
	}
	for e, n := range sessions.Ends() {
		s.Ended = append(s.Ended, end{e.Role, e.Proto, e.Reason, n})
	}
	slices.SortFunc(s.Ended, func(a, b end) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Reason, b.Reason))
	})
	return s
}
