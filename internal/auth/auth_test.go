package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/auth"
)

// local is a control call from this machine, with headers, each a name and its value.
func local(header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://localhost:8080/flv/record/start/live/test", nil)
	r.RemoteAddr = "127.0.0.1:50000"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func from(remote, host string) *http.Request {
	r := local()
	r.RemoteAddr, r.Host = remote, host
	return r
}

func TestWithoutATokenOnlyThisMachineItselfGetsIn(t *testing.T) {
	t.Parallel()
	guard := auth.NewGuard("")
	for name, c := range map[string]struct {
		request *http.Request
		allowed bool
	}{
		"from localhost":             {from("127.0.0.1:5", "localhost:8080"), true},
		"from another loopback":      {from("127.9.9.9:5", "127.0.0.1:8080"), true},
		"over IPv6":                  {from("[::1]:5", "[::1]:8080"), true},
		"host without port":          {from("[::1]:5", "[::1]"), true},
		"name without port":          {from("127.0.0.1:5", "localhost"), true},
		"mapped IPv4":                {from("[::ffff:127.0.0.1]:5", "LOCALHOST:8080"), true},
		"a name below localhost":     {from("127.0.0.1:5", "sluice.localhost:8080"), true},
		"from the LAN":               {from("192.168.1.5:5", "localhost:8080"), false},
		"from a public address":      {from("[2001:db8::1]:5", "[::1]:8080"), false},
		"rebound name":               {from("127.0.0.1:5", "evil.example:8080"), false},
		"name that only looks local": {from("127.0.0.1:5", "localhost.evil.example"), false},
		"name that only ends so":     {from("127.0.0.1:5", "evillocalhost"), false},
		"LAN address in Host":        {from("127.0.0.1:5", "192.168.1.5:8080"), false},
		"unspecified address":        {from("127.0.0.1:5", "0.0.0.0:8080"), false},
		"no Host":                    {from("127.0.0.1:5", ""), false},
		"no remote address":          {from("", "localhost"), false},
		"remote address is a path":   {from("@", "localhost"), false},
		"Forwarded":                  {local("Forwarded", "for=1.2.3.4"), false},
		"X-Forwarded-For":            {local("X-Forwarded-For", "127.0.0.1"), false},
		"X-Forwarded-Host":           {local("X-Forwarded-Host", "localhost"), false},
		"X-Real-Ip":                  {local("X-Real-Ip", "127.0.0.1"), false},
		"Via":                        {local("Via", "1.1 proxy"), false},
		"empty forwarding header":    {local("X-Forwarded-For", ""), false},
		"own Origin":                 {local("Origin", "http://localhost:8080"), true},
		"own Origin, other case":     {local("Origin", "http://LOCALHOST:8080"), true},
		"foreign Origin":             {local("Origin", "https://evil.example"), false},
		"another port's Origin":      {local("Origin", "http://localhost:3000"), false},
		"another name's Origin":      {local("Origin", "http://127.0.0.1:8080"), false},
		"null Origin":                {local("Origin", "null"), false},
		"Origin that is none":        {local("Origin", "http://[::1"), false},
		"a page of this server":      {local("Sec-Fetch-Site", "same-origin"), true},
		"typed by the user":          {local("Sec-Fetch-Site", "none"), true},
		"a page of another site":     {local("Sec-Fetch-Site", "cross-site"), false},
		"a page of another port":     {local("Sec-Fetch-Site", "same-site"), false},
		"a token that is not needed": {local("Authorization", "Bearer x"), true},
	} {
		if err := guard.Check(c.request, auth.Control); (err == nil) != c.allowed {
			t.Errorf("%s: Check() = %v", name, err)
		}
	}
}

func TestWithATokenNothingElseGetsIn(t *testing.T) {
	t.Parallel()
	guard := auth.NewGuard("sesame")
	far := func(header string) *http.Request {
		r := local("Authorization", header, "X-Forwarded-For", "1.2.3.4", "Origin", "https://elsewhere.example")
		r.RemoteAddr, r.Host = "203.0.113.9:5", "live.example"
		return r
	}
	for header, allowed := range map[string]bool{
		"Bearer sesame": true, "bearer sesame": true, "BEARER  sesame ": true,
		"Bearer Sesame": false, "Bearer sesam": false, "Bearer sesamee": false, "Bearer ": false, "Bearer": false, "": false,
		"Basic sesame": false, "sesame": false, "Bearer sesame sesame": false, "Bearer\tsesame": false,
	} {
		if err := guard.Check(far(header), auth.Control); (err == nil) != allowed {
			t.Errorf("%q: Check() = %v", header, err)
		}
	}
	if err := guard.Check(local(), auth.Control); !errors.Is(err, auth.ErrControl) {
		t.Errorf("this machine without the token: %v", err)
	}
}

func TestARefusalSaysHowToGetInAndShowsNoToken(t *testing.T) {
	t.Parallel()
	err := auth.NewGuard("sesame").Check(local(), auth.Control)
	if err == nil || !strings.Contains(err.Error(), "set SLUICE_HTTP_TOKEN") || !strings.Contains(err.Error(), "call from this machine") ||
		strings.Contains(err.Error(), "sesame") {
		t.Errorf("the refusal is %v", err)
	}
}

func TestEverybodyMayPlay(t *testing.T) {
	t.Parallel()
	for _, guard := range []*auth.Guard{auth.NewGuard(""), auth.NewGuard("sesame")} {
		for _, scope := range []auth.Scope{auth.Public, auth.Play} {
			r := from("203.0.113.9:5", "live.example")
			r.Header.Set("Origin", "null")
			if err := guard.Check(r, scope); err != nil {
				t.Errorf("scope %d: %v", scope, err)
			}
		}
	}
}
