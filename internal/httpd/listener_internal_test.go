package httpd

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"
)

func TestAFaultInARefusalCostsOneConnection(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	server, client := net.Pipe()
	defer client.Close()
	go func() { _ = tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake() }() //nolint:gosec // nobody is to be trusted
	l := &listener{
		limits: &limits{log: newComplaints(slog.New(slog.NewTextHandler(&said, nil)))},
		refusal: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { //nolint:gosec // it has no versions, nor anything
			panic("a bug")
		}},
	}
	l.refuse(server, "http.max_connections")
	if !strings.Contains(said.String(), "recovered from a panic") || !strings.Contains(said.String(), "a bug") {
		t.Errorf("the log says %s", said.String())
	}
	if n := l.refused.Load(); n != 0 {
		t.Errorf("%d connections are still being refused", n)
	}
}
