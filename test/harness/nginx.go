package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// FreePort returns an address on the loopback interface that was free a
// moment ago, for programs that cannot choose one themselves.
func FreePort(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Nginx runs nginx with those lines in its server block and returns where it
// listens.
func Nginx(tb testing.TB, server string) string {
	tb.Helper()
	dir, addr := tb.TempDir(), FreePort(tb)
	if err := os.Chmod(dir, 0o777); err != nil { // nginx's workers are somebody else when root starts it
		tb.Fatal(err)
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen %s;
%s
    }
}
`, addr, server)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	bin, err := exec.LookPath("nginx")
	if err != nil {
		bin = "/usr/sbin/nginx" // not in everybody's PATH
	}
	p := Run(tb, dir, nil, bin, "-p", dir, "-c", conf, "-e", "stderr")
	p.WaitLine(tb, "start worker processes")
	return addr
}

// listens tells whether somebody takes connections there.
func listens(tb testing.TB, addr string) bool {
	tb.Helper()
	c, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
