package module

import (
	"maps"
	"sync"
)

// Facts is where modules say what others show without knowing who said it:
// the address that a listener really has, what a player needs to know. It is
// safe for concurrent use; the zero value is ready.
type Facts struct {
	mu sync.Mutex // guards m
	m  map[string]string
}

// The names of facts that more than one module uses.
const (
	FactRTMP  = "rtmp.addr"  // the address that RTMP listens on, host:port
	FactRTMPS = "rtmps.addr" // the address that RTMP listens on with TLS, host:port; none without
	FactHTTP  = "http.addr"  // the address that HTTP listens on, host:port
	FactHTTPS = "https.addr" // the address that HTTP listens on with TLS, host:port; none without
	FactPlay  = "flv.play"   // "on" where /flv/ is served
	FactOpen  = "open."      // prefix: what is open to everybody, one sentence each
	FactFetch = "fetch."     // prefix: where else than here the page fetches from, origins with spaces between
)

// Set says one fact.
func (f *Facts) Set(name, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = make(map[string]string)
	}
	f.m[name] = value
}

// Get returns one fact, empty where nobody said it.
func (f *Facts) Get(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[name]
}

// All returns a copy of all facts.
func (f *Facts) All() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.m)
}
