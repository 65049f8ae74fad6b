package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conf"
	"sluice/internal/memtest"
)

// effective decodes and prints.
func effective(t *testing.T, src conf.Source) string {
	t.Helper()
	v, err := decode(src)
	if err != nil {
		t.Fatal(err)
	}
	return string(v.YAML())
}

func TestTheEffectiveConfigurationShowsEverythingButSecrets(t *testing.T) {
	t.Parallel()
	src := yaml("web:", "  token: sesame", "  links: [{to: 'a b', every: 90s}]", "  labels: {z: '1', a: 'yes', \"q\\\"\": \"\\n\"}", "  origins: []")
	want := strings.Join([]string{
		`web:`,
		`  listen: ":8080"`,
		`  # token: "***"`,
		`  max: 0`,
		`  port: 0`,
		`  share: 0`,
		`  tls:`,
		`    cert: ""`,
		`    keep: false`,
		`  origins: []`,
		`  links:`,
		`    -`,
		`      to: "a b"`,
		`      every: 1m30s`,
		`  labels:`,
		`    "a": "yes"`,
		`    "q\"": "\n"`,
		`    "z": "1"`,
		``,
		`flv:`,
		`  enable: true`,
		`  max_lag: 3s`,
		`  wait: 5s`,
		`  window: 64MiB`,
		``,
	}, "\n")
	got := effective(t, src)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("effective configuration (-want +got):\n%s", d)
	}
	if again := effective(t, conf.Source{Doc: []byte(got)}); again != strings.Replace(got, `# token: "***"`, `token: ""`, 1) {
		t.Errorf("decoded again it is\n%s", again)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("web:\n  listen: ':1'\n  tls: {cert: x}\n  labels: {<<: *a}\nflv: &a\n  wait: 1s\n", "SLUICE_WEB_LISTEN=x", "web.labels.a=b")
	f.Add("---\nweb: !!map {origins: [a, 'b', \"\\x41\\u00e9\"]}\n...\n", "SLUICE_WEB_ORIGINS=[a]", "flv={wait: 1s}")
	f.Add("? web\n: listen: |\n    a\n    b\n", "SLUICE_WEB={}", "web.links=[{to: a}]")
	f.Fuzz(func(t *testing.T, doc, env, set string) {
		src := conf.Source{Doc: []byte(doc), Env: []string{env}, Set: []string{set}}
		// A tree of YAML takes more than what it is read from; all keys are there in any case.
		memtest.Limit(t, 2<<10*(len(doc)+len(env)+len(set))+256<<10, func() { _, _ = decode(src) })
		v, err := decode(src)
		if err != nil {
			if v != nil || err.Error() == "" {
				t.Fatalf("values %v with the error %v", v, err)
			}
			return
		}
		printed := v.YAML()
		again, err := decode(conf.Source{Doc: printed})
		if err != nil {
			t.Fatalf("what was printed does not decode: %v\n%s", err, printed)
		}
		noSecret := strings.Replace(string(printed), `# token: "***"`, `token: ""`, 1)
		if got := string(again.YAML()); got != noSecret {
			t.Fatalf("printed:\n%s\ndecoded and printed again:\n%s", printed, got)
		}
	})
}
