package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conf"
)

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	t.Parallel()
	src := yaml("web:", "  listen: file", "  tls: {cert: file, keep: true}", "  token: file")
	src.Env = []string{"SLUICE_WEB_LISTEN=env", "SLUICE_WEB_TLS_CERT=env", "PATH=/bin", "SLUICE_WEB_TOKEN="}
	src.Set = []string{"web.listen=flag", "web.listen=last flag"}
	web, _ := mustDecode(t, src)
	if web.Listen != "last flag" || web.TLS.Cert != "env" || !web.TLS.Keep || string(web.Token) != "file" {
		t.Errorf("in force: %+v, token %q", web, string(web.Token))
	}
	v, err := decode(src)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"web.listen": "--set web.listen", "web.tls.cert": "SLUICE_WEB_TLS_CERT",
		"web.tls.keep": "sluice.yaml:3:21", "web.max": "",
	} {
		if got := v.Where(key); got != want {
			t.Errorf("%s was set at %q, want %q", key, got, want)
		}
	}
}

func TestListsAndMapsInAVariableAreYAML(t *testing.T) {
	t.Parallel()
	web, flv := mustDecode(t, conf.Source{
		Env: []string{
			"SLUICE_WEB_ORIGINS=[one, 'two']", "SLUICE_WEB_LABELS={a: b}", "SLUICE_WEB_LINKS=[{to: x, every: 1s}]",
			"SLUICE_FLV_WAIT=1s", "SLUICE_FLV={wait: 2s, window: 2MiB}", "SLUICE_WEB_TOKEN=a: [b", "SLUICE_WEB_LISTEN=#x",
		},
		Set: []string{"web.labels.c=d: e", "web.tls={keep: true, cert: c}"},
	})
	if d := cmp.Diff([]string{"one", "two"}, web.Origins); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"a": "b", "c": "d: e"}, web.Labels); d != "" {
		t.Error(d)
	}
	if len(web.Links) != 1 || web.Links[0].Every.String() != "1s" || !web.TLS.Keep {
		t.Errorf("in force: %+v", web)
	}
	if flv.Wait.String() != "1s" || flv.Window != 2*conf.MiB {
		t.Errorf("the variable of one key must win over that of its section: %+v", flv)
	}
	if string(web.Token) != "a: [b" || web.Listen != "#x" {
		t.Errorf("a text is taken as it stands: %q, %q", string(web.Token), web.Listen)
	}
}

func TestDefaultsAreNotChangedByWhatIsDecoded(t *testing.T) {
	t.Parallel()
	all := sections()
	if _, err := conf.Decode(conf.Source{Set: []string{"web.labels.new=1", "web.origins=[z]"}}, all, nil); err != nil {
		t.Fatal(err)
	}
	web, _ := all[0].Default.(webConfig)
	if d := cmp.Diff(map[string]string{"x": "y"}, web.Labels); d != "" || web.Origins[0] != "a" {
		t.Errorf("the defaults are %+v now", web)
	}
}

func TestMistakesInVariablesNameThem(t *testing.T) {
	t.Parallel()
	wantErrors(t, conf.Source{Env: []string{
		"SLUICE_WEB_ORIGINS=a,b", "SLUICE_WEB_LABELS={", "SLUICE_WEB_MAX=007", "SLUICE_WEB_LISTEN=\xff",
		"SLUICE_WEB_TLS={kep: true}", "SLUICE_WEB_TOKEN=***", "SLUICE_WEB_SHARE=NaN", "SLUICE_WEB_PORT=x",
	}},
		"SLUICE_WEB_LABELS: web.labels: reading it as YAML: could not find flow mapping end token '}'",
		`SLUICE_WEB_LISTEN: web.listen: not UTF-8 text`,
		`SLUICE_WEB_MAX: web.max: wants a whole number, this is "007"`,
		"SLUICE_WEB_ORIGINS: web.origins: wants a list, such as [a, b], this is text",
		`SLUICE_WEB_PORT: web.port: wants a whole number, this is "x"`,
		`SLUICE_WEB_SHARE: web.share: wants a number, this is "NaN"`,
		`SLUICE_WEB_TLS: web.tls.kep: unknown key, did you mean keep?`,
		`SLUICE_WEB_TOKEN: web.token: *** stands for a secret that was hidden when it was printed: write the secret itself`,
	)
}

func TestAVariableThatNobodyKnowsOnlyWarns(t *testing.T) {
	t.Parallel()
	v, err := decode(conf.Source{Env: []string{
		"SLUICE_PORT=tcp://10.0.0.1:80", "SLUICE_FLV_WIAT=1s", "SLUICE_VOD_DIR=/x", "SLUICED=1", "sluice_web_max=3",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"SLUICE_FLV_WIAT sets nothing: did you mean SLUICE_FLV_WAIT?",
		"SLUICE_PORT sets nothing: there is no such key",
		"SLUICE_VOD_DIR sets nothing: this binary was built without hls",
	}
	if d := cmp.Diff(want, v.Warnings()); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

func TestASectionOfAnAbsentPartSaysThatItIsAbsent(t *testing.T) {
	t.Parallel()
	src := yaml("hls: {enable: false}", "vod: {}")
	src.Set = []string{"hls.enable=true"}
	wantErrors(t, src,
		"sluice.yaml:1:1: hls: this binary was built without hls",
		"sluice.yaml:2:1: vod: this binary was built without hls",
		"--set hls.enable: hls: this binary was built without hls",
	)
}

func TestUnknownKeysAreMetWithTheNearestOne(t *testing.T) {
	t.Parallel()
	wantErrors(t, yaml("flv:", "  maxLag: 1s", "  max-lag: 1s", "  MAX_LAG: 1s", "  wiat: 1s", "  zzz: 1", "  "+strings.Repeat("x", 999)+": 1", "fvl: {}"),
		"sluice.yaml:2:3: flv.maxLag: unknown key, did you mean max_lag?",
		"sluice.yaml:3:3: flv.max-lag: unknown key, did you mean max_lag?",
		"sluice.yaml:4:3: flv.MAX_LAG: unknown key, did you mean max_lag?",
		"sluice.yaml:5:3: flv.wiat: unknown key, did you mean wait?",
		"sluice.yaml:6:3: flv.zzz: unknown key, there are enable, max_lag, wait, window",
		"sluice.yaml:7:3: flv."+strings.Repeat("x", 999)+": unknown key, there are enable, max_lag, wait, window",
		"sluice.yaml:8:1: fvl: unknown section, did you mean flv?",
	)
}
