package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"sluice/internal/app"
	"sluice/internal/demo"
	"sluice/internal/module"
	"sluice/rtmp"
)

// demoPath is where the demo publishes.
const demoPath = "live/demo"

type demoCmd struct{}

// Run serves and publishes the built-in picture to the server's own port.
func (demoCmd) Run(ctx context.Context, w *world) error {
	a, err := w.build(ctx)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)

	var publisher sync.WaitGroup
	var failed error
	publisher.Go(func() {
		failed = publishDemo(ctx, a, func() { printURLs(w.stdout, a) })
		if failed != nil {
			end(failed)
		}
	})
	err = a.Run(ctx)
	end(nil)
	publisher.Wait()
	return errors.Join(err, failed)
}

func publishDemo(ctx context.Context, a *app.App, begun func()) error {
	addr := a.Facts().Get(module.FactRTMP)
	if addr == "" {
		return errors.New("nothing listens for RTMP, which the demo publishes by")
	}
	u, err := rtmp.ParseURL("rtmp://" + reachable(addr) + "/" + demoPath)
	if err != nil {
		return err
	}
	return publish(ctx, rtmp.Dialer{}, demo.Picture(), u, true, begun)
}

// reachable turns an address that is listened on into one that this machine
// can connect to.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// printURLs prints where the demo can be seen.
func printURLs(w io.Writer, a *app.App) {
	http := reachable(a.Facts().Get(module.FactHTTP))
	fmt.Fprintf(w, "\nThe demo is live as %s. To see it, open one of these:\n\n", demoPath)
	if a.Has("console") {
		fmt.Fprintf(w, "  page       http://%s/\n", http)
	}
	if a.Facts().Get(module.FactPlay) == "on" {
		path := "/flv/" + demoPath + ".flv"
		fmt.Fprintf(w, "  ffplay     ffplay http://%s%s\n", http, path)
		fmt.Fprintf(w, "  HTTP-FLV   http://%s%s\n", http, path)
		fmt.Fprintf(w, "  WebSocket  ws://%s%s?profile=web\n", http, path)
	} else {
		fmt.Fprintln(w, "  (no player: flv.enable is false, or this binary was built without flv)")
	}
	fmt.Fprint(w, "\nCtrl-C ends it.\n\n")
}
