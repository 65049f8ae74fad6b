package conf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conf"
)

// webConfig has a key of every kind.
type webConfig struct {
	_       struct{}          `doc:"The web section."`
	Listen  string            `yaml:"listen" doc:"Address."`
	Token   conf.Secret       `yaml:"token" doc:"Secret."`
	Max     int               `yaml:"max" doc:"Number."`
	Port    uint16            `yaml:"port" doc:"Small number."`
	Share   float64           `yaml:"share" doc:"Fraction."`
	TLS     tlsConfig         `yaml:"tls" doc:"Nested."`
	Origins []string          `yaml:"origins" doc:"List."`
	Links   []linkConfig      `yaml:"links" doc:"List of structs."`
	Labels  map[string]string `yaml:"labels" doc:"Map."`
	private string            //nolint:unused // sections may have fields that are no keys
	Ignored string
}

type tlsConfig struct {
	Cert string `yaml:"cert" doc:"File."`
	Keep bool   `yaml:"keep" doc:"Switch."`
}

type linkConfig struct {
	To    string        `yaml:"to" doc:"Target."`
	Every conf.Duration `yaml:"every" doc:"Pause."`
}

func (c webConfig) Validate() error {
	var errs []error
	if c.Listen == "" {
		errs = append(errs, errors.New("listen: must not be empty"))
	}
	if c.Max < 0 {
		errs = append(errs, errors.New("max: must not be negative"))
	}
	if c.TLS.Keep && c.TLS.Cert == "" {
		errs = append(errs, errors.New("tls.cert: missing"))
	}
	for i, l := range c.Links {
		if l.To == "" {
			errs = append(errs, fmt.Errorf("links[%d].to: missing", i))
		}
	}
	if c.Labels["bad"] != "" {
		errs = append(errs, errors.New("labels.bad: not allowed"))
	}
	if c.Max == 13 {
		errs = append(errs, errors.New("this is unlucky: think again"))
	}
	return errors.Join(errs...)
}

type flvConfig struct {
	Enable bool          `yaml:"enable" doc:"Switch."`
	MaxLag conf.Duration `yaml:"max_lag" doc:"Lag."`
	Wait   conf.Duration `yaml:"wait" doc:"Wait."`
	Window conf.Size     `yaml:"window" doc:"Size."`
}

func (c flvConfig) Validate() error {
	var errs []error
	if c.MaxLag == 0 {
		errs = append(errs, errors.New("max_lag: must be positive"))
	}
	if c.Wait > conf.Duration(time.Minute) {
		errs = append(errs, errors.New("wait: at most 60s"))
	}
	return errors.Join(errs...)
}

func sections() []conf.Section {
	return []conf.Section{
		{Name: "web", Default: webConfig{Listen: ":8080", Origins: []string{"a"}, Labels: map[string]string{"x": "y"}}},
		{Name: "flv", Default: flvConfig{true, conf.Duration(3 * time.Second), conf.Duration(5 * time.Second), 64 * conf.MiB}},
	}
}

func decode(src conf.Source) (*conf.Values, error) {
	src.Name = "sluice.yaml"
	return conf.Decode(src, sections(), map[string]string{"hls": "hls", "vod": "hls"})
}

func mustDecode(t *testing.T, src conf.Source) (webConfig, flvConfig) {
	t.Helper()
	v, err := decode(src)
	if err != nil {
		t.Fatal(err)
	}
	web, _ := v.Section("web").(webConfig)
	flv, _ := v.Section("flv").(flvConfig)
	return web, flv
}

// wantErrors compares the lines of an error.
func wantErrors(t *testing.T, src conf.Source, want ...string) {
	t.Helper()
	_, err := decode(src)
	if _, ok := errors.AsType[conf.Errors](err); !ok {
		t.Fatalf("the error is %v, want %d mistakes", err, len(want))
	}
	if d := cmp.Diff(want, strings.Split(err.Error(), "\n")); d != "" {
		t.Errorf("mistakes (-want +got):\n%s", d)
	}
}

func yaml(lines ...string) conf.Source { return conf.Source{Doc: []byte(strings.Join(lines, "\n"))} }

func TestNothingConfiguredGivesTheDefaults(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "\ufeff# bom\n", "web:\n", "web: ~\nflv: {}\n", "web:\n  listen:\n  origins:\n  tls:\n"} {
		web, flv := mustDecode(t, conf.Source{Doc: []byte(doc)})
		if web.Listen != ":8080" || len(web.Origins) != 1 || !flv.Enable || flv.Window != 64*conf.MiB {
			t.Errorf("%q gives %+v and %+v", doc, web, flv)
		}
	}
}

func TestAFileSetsKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	web, flv := mustDecode(t, yaml(
		`web:`,
		`  listen: "localhost:1"`,
		`  token: 0815`,
		`  max: -0`,
		`  port: 65535`,
		`  share: 0.5`,
		`  tls: {cert: a.pem, keep: true}`,
		`  origins:`,
		`    - one`,
		`    - 'two'`,
		`  links: [{to: x, every: 10s}]`,
		`  labels: {a: b, "c": d, 5: e}`,
		`flv:`,
		`  enable: false`,
		`  max_lag: 250ms`,
		`  window: 1MiB`,
	))
	want := webConfig{
		Listen: "localhost:1", Token: "0815", Port: 65535, Share: 0.5, TLS: tlsConfig{"a.pem", true},
		Origins: []string{"one", "two"}, Links: []linkConfig{{"x", conf.Duration(10 * time.Second)}},
		Labels: map[string]string{"a": "b", "c": "d", "5": "e"},
	}
	if d := cmp.Diff(want, web, cmp.AllowUnexported(webConfig{}), cmp.Comparer(func(a, b conf.Secret) bool { return a == b })); d != "" {
		t.Errorf("web (-want +got):\n%s", d)
	}
	if flv.Enable || flv.MaxLag.D() != 250*time.Millisecond || flv.Window != conf.MiB || flv.Wait.D() != 5*time.Second {
		t.Errorf("flv is %+v", flv)
	}
}

func TestThreeMistakesInOneSectionGiveThreeErrors(t *testing.T) {
	t.Parallel()
	wantErrors(t, yaml(
		"flv:",
		"  enabel: true",
		"  max_lag: 3",
		"  wait: 2m",
	),
		"sluice.yaml:2:3: flv.enabel: unknown key, did you mean enable?",
		"sluice.yaml:3:12: flv.max_lag: 3 has no unit: write 3s, 3ms, 3m or 3h",
		"sluice.yaml:4:3: flv.wait: at most 60s",
	)
}

func TestMistakesOfAllSectionsAndSourcesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	src := yaml("web:", "  max: ten", "flv:", "  wait: 2m", "frobnicate: {}")
	src.Env = []string{"SLUICE_WEB_PORT=70000", "SLUICE_FLV_WINDOW=5"}
	src.Set = []string{"flv.enable=maybe", "web.listen=", "flv", "nothing.here=1", "web.tls.crt=x", "web.max.deeper=1", "=", ".=x"}
	wantErrors(t, src,
		`sluice.yaml:2:8: web.max: wants a whole number, this is the text "ten"`,
		`sluice.yaml:4:3: flv.wait: at most 60s`,
		`sluice.yaml:5:1: frobnicate: unknown section, there are web, flv`,
		`SLUICE_FLV_WINDOW: flv.window: 5 has no unit: write 5B, 5KiB, 5MiB or 5GiB`,
		`SLUICE_WEB_PORT: web.port: 70000 does not fit: it takes 16 bits and no sign`,
		`--set flv.enable: flv.enable: wants true or false, this is "maybe"`,
		`--set flv: write --set section.key=value`,
		`--set nothing.here: nothing: unknown section, there are web, flv`,
		`--set web.tls.crt: web.tls.crt: unknown key, did you mean cert?`,
		`--set web.max.deeper: web.max.deeper: unknown key`,
		`--set =: write --set section.key=value`,
		`--set .=x: write --set section.key=value`,
		`--set web.listen: web.listen: must not be empty`,
	)
}

func TestAMistakeFoundByValidateCarriesThePlaceOfItsKey(t *testing.T) {
	t.Parallel()
	wantErrors(t, yaml(
		"web:",
		"  tls:",
		"    keep: true",
		"  links:",
		"    - to: x",
		"    - every: 1s",
		"  labels:",
		"    bad: x",
		"  max: 13",
	),
		"sluice.yaml:1:1: web: this is unlucky: think again",
		"sluice.yaml:2:3: web.tls.cert: missing",
		"sluice.yaml:6:7: web.links[1].to: missing",
		"sluice.yaml:8:5: web.labels.bad: not allowed",
	)
	wantErrors(t, conf.Source{Env: []string{"SLUICE_WEB_TLS_KEEP=true", "SLUICE_WEB_MAX=-1"}},
		"web.tls.cert: missing",
		"SLUICE_WEB_MAX: web.max: must not be negative",
	)
	wantErrors(t, conf.Source{
		Doc: []byte("web: {links: [{to: x}, {to: y}, {to: ''}]}"),
		Set: []string{"web.links=[{to: x}, {every: 1s}]"},
	}, "--set web.links: web.links[1].to: missing")
}

func TestWrongTypesSayWhatIsWanted(t *testing.T) {
	t.Parallel()
	wantErrors(t, yaml(
		"web:",
		"  listen: [a]",
		"  token: {a: b}",
		"  max: 1.5",
		"  port: -1",
		"  share: .inf",
		"  tls: yes",
		"  origins: a",
		"  links: {to: x}",
		"  labels: [a]",
		"flv:",
		"  enable: yes",
		"  max_lag: [1s]",
		"  wait: true",
		"  window: 99999999TiB",
	),
		"sluice.yaml:2:11: web.listen: wants text, this is a list",
		"sluice.yaml:3:10: web.token: wants text, this is a mapping",
		`sluice.yaml:4:8: web.max: wants a whole number, this is "1.5"`,
		"sluice.yaml:5:9: web.port: -1 does not fit: it takes 16 bits and no sign",
		"sluice.yaml:6:10: web.share: wants a number, this is not a finite number",
		"sluice.yaml:7:8: web.tls: wants a mapping: keys with values, indented below it, this is text",
		"sluice.yaml:8:12: web.origins: wants a list, such as [a, b], this is text",
		"sluice.yaml:9:10: web.links: wants a list, such as [a, b], this is a mapping",
		"sluice.yaml:10:11: web.labels: wants a mapping: keys with values, indented below it, this is a list",
		`sluice.yaml:12:11: flv.enable: wants true or false, this is the text "yes"`,
		"sluice.yaml:13:12: flv.max_lag: wants text, this is a list",
		`sluice.yaml:14:9: flv.wait: "true" is no duration: write a number with its unit, such as 10s, 250ms or 1h30m`,
		"sluice.yaml:15:11: flv.window: 99999999TiB is too large",
	)
}
