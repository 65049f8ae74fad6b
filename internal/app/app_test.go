package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/app"
	"sluice/internal/auth"
	"sluice/internal/conf"
	"sluice/internal/httpd"
	"sluice/internal/logtest"
	"sluice/internal/module"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// portConfig is the section of a module with a listener.
type portConfig struct {
	Enable bool        `yaml:"enable" doc:"Switch."`
	Listen string      `yaml:"listen" doc:"Address."`
	Key    conf.Secret `yaml:"key" doc:"Secret."`
	Fail   string      `yaml:"fail" doc:"What Run fails with."`
}

func (c portConfig) Enabled() bool { return c.Enable }

func (c portConfig) Validate() error {
	var errs []error
	if c.Listen == "" {
		errs = append(errs, errors.New("listen: must not be empty"))
	}
	if c.Fail == c.Listen {
		errs = append(errs, errors.New("fail: must not be the same as listen"))
	}
	return errors.Join(errs...)
}

// portModule accepts connections, says "hello" and closes them.
type portModule struct {
	net.Listener

	fail string
}

func (m portModule) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { m.Close() })
	defer stop()
	if m.fail != "" {
		m.Close()
		return errors.New(m.fail)
	}
	for {
		c, err := m.Accept()
		if err != nil {
			return nil // closed by the context
		}
		fmt.Fprint(c, "hello")
		c.Close()
	}
}

// port declares a module with a listener, whose section is called name.
func port(name string) module.Descriptor {
	def := portConfig{Enable: true, Listen: "127.0.0.1:0"}
	return module.Describe(name, def, func(ctx context.Context, c portConfig, d module.Deps) (module.Module, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
		if err != nil {
			return nil, fmt.Errorf("%s.listen: %w", name, err)
		}
		d.Facts.Set(name+".addr", l.Addr().String())
		d.Facts.Set(module.FactOpen+name, "everybody may say "+name)
		d.HTTP.Handle(auth.Play, "/"+name+"/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page of ", name) }))
		d.HTTP.Handle(auth.Control, "/"+name+"/control", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "control of ", name) }))
		d.Log.Info("built")
		return portModule{l, c.Fail}, nil
	})
}

// modules are two, the second of which goes with the first.
func modules() []module.Descriptor {
	second := port("second")
	second.With = "first"
	return []module.Descriptor{port("first"), second}
}

func load(t *testing.T, set ...string) *app.Config {
	t.Helper()
	cfg, err := app.Load(app.Options{Modules: modules(), Set: append([]string{"http.listen=127.0.0.1:0"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// serve runs a server until stop, which returns what Run did.
func serve(t *testing.T, cfg *app.Config) (a *app.App, log *logtest.Log, stop func() error) {
	t.Helper()
	log = &logtest.Log{}
	a, err := app.New(t.Context(), cfg, cfg.Logger(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel(errors.New("the test is over"))
		return <-done
	})
	t.Cleanup(func() { _ = stop() }) // the test looks at it where it matters
	return a, log, stop
}

func fetch(t *testing.T, a *app.App, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Facts().Get(module.FactHTTP)+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestAServerStartsSaysWhereAndWhatIsOpenAndStops(t *testing.T) {
	t.Parallel()
	a, log, stop := serve(t, load(t))
	if code, body := fetch(t, a, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := fetch(t, a, "/second/x"); code != http.StatusOK || body != "page of second" {
		t.Errorf("/second/x: %d %s", code, body)
	}
	if code, body := fetch(t, a, "/first/control"); code != http.StatusOK || body != "control of first" {
		t.Errorf("a control call from this machine: %d %s", code, body)
	}
	c, err := net.Dial("tcp", a.Facts().Get("first.addr"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "hello" {
		t.Errorf("the module says %q, %v", b, err)
	}
	c.Close()
	if err := stop(); err != nil {
		t.Errorf("Run() = %v", err)
	}

	for _, want := range []string{
		`msg=listening proto=http addr=127.0.0.1:`, `msg=listening proto=first addr=127.0.0.1:`,
		`msg="open to everybody" what="everybody may say first"`, `msg=built module=second`,
		`msg="control calls only from this machine"`, `msg="shutting down" reason="the test is over"`,
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("not one line with %q in\n%s", want, log)
		}
	}
}

func TestWithATokenControlCallsNeedItAndTheLogDoesNotShowIt(t *testing.T) {
	t.Parallel()
	a, log, stop := serve(t, load(t, "http.token=sesame", "log.format=json"))
	if code, _ := fetch(t, a, "/first/control"); code != http.StatusUnauthorized {
		t.Errorf("without the token: %d", code)
	}
	if code, _ := fetch(t, a, "/first/control", "Authorization", "Bearer sesame"); code != http.StatusOK {
		t.Errorf("with the token: %d", code)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if s := log.String(); strings.Contains(s, "sesame") || strings.Contains(s, "control calls") || !strings.Contains(s, `"msg":"listening"`) {
		t.Errorf("log:\n%s", s)
	}
}

func TestTheStateIsToldToWhoHasControl(t *testing.T) {
	a, _, _ := serve(t, load(t))
	t.Parallel()
	status, body := fetch(t, a, "/debug/state?collect=1")
	if status != http.StatusOK {
		t.Fatalf("answered %d %s", status, body)
	}
	var state struct {
		Goroutines             int
		HeapBytes, MemoryBytes int64
		Ended                  []any
	}
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatal(err)
	}
	if state.Goroutines == 0 || state.HeapBytes == 0 || state.MemoryBytes < state.HeapBytes || state.Ended == nil {
		t.Errorf("the state is %s", body)
	}
}

func TestASwitchTurnsAModuleOffAndThoseThatGoWithIt(t *testing.T) {
	t.Parallel()
	for set, want := range map[string][2]int{
		"first.enable=true":   {http.StatusOK, http.StatusOK},
		"second.enable=false": {http.StatusOK, http.StatusNotFound},
		"first.enable=false":  {http.StatusNotFound, http.StatusNotFound},
	} {
		a, _, stop := serve(t, load(t, set))
		first, _ := fetch(t, a, "/first/")
		second, _ := fetch(t, a, "/second/")
		if first != want[0] || second != want[1] {
			t.Errorf("%s: the modules answer %d and %d", set, first, second)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheFirstFailureStopsTheRest(t *testing.T) {
	t.Parallel()
	cfg := load(t, "second.fail=the disk is on fire")
	log := &logtest.Log{}
	a, err := app.New(t.Context(), cfg, cfg.Logger(log))
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(t.Context())
	if err == nil || err.Error() != "second: the disk is on fire" {
		t.Errorf("Run() = %v", err)
	}
	if !strings.Contains(log.String(), `msg="shutting down" reason="second: the disk is on fire"`) {
		t.Errorf("log:\n%s", log)
	}
}

func TestAPortInUseNamesItsKeyAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for key, prefix := range map[string]string{
		"http.listen": "http.listen: ", "second.listen": "building the module second: second.listen: ",
	} {
		cfg := load(t, key+"="+taken.Addr().String())
		_, err := app.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Errorf("%s: New() = %v", key, err)
		}
	}
	free := taken.Addr().String()
	taken.Close()
	cfg := load(t, "first.listen="+free, "second.listen=127.0.0.1:999999")
	if _, err := app.New(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("a port beyond all ports is taken")
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", free)
	if err != nil {
		t.Fatalf("what was built is still there: %v", err)
	}
	l.Close()
}

func TestTheFileIsFoundInItsOrder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("other.yaml", "first: {key: other}")
	yaml := func(file string) string {
		cfg, err := app.Load(app.Options{Modules: modules(), File: file, Set: []string{"second.enable=false"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(cfg.YAML())
	}
	if strings.Contains(yaml(""), "***") {
		t.Error("a key is set without a file")
	}
	write("sluice.yaml", "first: {listen: 'here:1'}")
	if y := yaml(""); !strings.Contains(y, `listen: "here:1"`) {
		t.Errorf("with ./sluice.yaml in force:\n%s", y)
	}
	if y := yaml("other.yaml"); strings.Contains(y, "here:1") || !strings.Contains(y, `# key: "***"`) {
		t.Errorf("with other.yaml in force:\n%s", y)
	}
}

func TestWhatIsWrongWithAFileIsSaidWithItsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(file, []byte("first:\n  listn: a\n  listen: ''\n  fail: {}\nhttp: {listen: 8080}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := app.Load(app.Options{Modules: modules(), File: file, Env: []string{"SLUICE_LOG_LEVEL=loud"}, Set: []string{"log.format=xml"}})
	want := strings.Join([]string{
		file + ":2:3: first.listn: unknown key, did you mean listen?",
		file + ":3:3: first.listen: must not be empty",
		file + ":4:9: first.fail: wants text, this is a mapping",
		file + `:5:8: http.listen: "8080" is not host:port, such as :8080 or 127.0.0.1:8080`,
		`SLUICE_LOG_LEVEL: log.level: "loud" is none of debug, info, warn, error`,
		`--set log.format: log.format: "xml" is neither text nor json`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
	for _, name := range []string{filepath.Join(dir, "missing.yaml"), dir} {
		if _, err := app.Load(app.Options{File: name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s gives %v", name, err)
		}
	}
}

func TestDoubtsAboutTheConfigurationAreLogged(t *testing.T) {
	t.Parallel()
	cfg, err := app.Load(app.Options{Modules: modules(), Env: []string{"SLUICE_FIRST_LISTN=x", "SLUICE_HTTP_LISTEN=127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	_, log, stop := serve(t, cfg)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "SLUICE_FIRST_LISTN sets nothing: did you mean SLUICE_FIRST_LISTEN?") {
		t.Errorf("log:\n%s", log)
	}
}

func TestTheLogObeysItsLevel(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		var b bytes.Buffer
		log := load(t, "log.level="+level).Logger(&b)
		log.Debug("a")
		log.Info("b")
		log.Warn("c")
		log.Error("d")
		if n := strings.Count(b.String(), "\n"); n != want {
			t.Errorf("%s writes %d lines, want %d", level, n, want)
		}
	}
}

func TestABinaryThatDeclaresItsConfigurationWrongSaysSo(t *testing.T) {
	t.Parallel()
	twice := []module.Descriptor{port("first"), port("http")}
	if _, err := app.Load(app.Options{Modules: twice}); err == nil || !strings.Contains(err.Error(), "SLUICE_HTTP_LISTEN is the variable of http.listen too") {
		t.Errorf("Load() = %v", err)
	}
	if err := conf.Check(app.Sections(modules())); err != nil {
		t.Error(err)
	}
	if _, ok := app.Sections(nil)[0].Default.(httpd.Config); !ok {
		t.Error("the section http is not the first")
	}
}
