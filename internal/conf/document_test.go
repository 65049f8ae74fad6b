package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/conf"
)

func TestAnchorsAliasesAndMergeKeysWork(t *testing.T) {
	t.Parallel()
	web, flv := mustDecode(t, yaml(
		"web: &web",
		"  listen: &addr ':1'",
		"  tls: &tls {cert: *addr, keep: true}",
		"  links: [&a {to: x, every: &ten 10s}, {<<: *a, to: y}, {<<: [*a, *a], to: z}]",
		"flv:",
		"  wait: *ten",
	))
	if web.TLS.Cert != ":1" || flv.Wait.String() != "10s" {
		t.Errorf("aliases give %+v and %+v", web, flv)
	}
	if len(web.Links) != 3 || web.Links[1].To != "y" || web.Links[1].Every.String() != "10s" || web.Links[2].To != "z" {
		t.Errorf("merge keys give %+v", web.Links)
	}
}

func TestAnAliasWithoutAnAnchorIsAMistakeAndSoIsACircle(t *testing.T) {
	t.Parallel()
	wantErrors(t, yaml(
		"web:",
		"  listen: *later",
		"  origins: &self [*self]",
		"  tls: {<<: *nothing}",
		"  labels: {<<: 5}",
		"  token: &later x",
		"  max: !count 5",
		"  port: !!int 5",
	),
		"sluice.yaml:2:11: web.listen: no anchor &later before this alias",
		"sluice.yaml:3:19: web.origins[0]: no anchor &self before this alias",
		"sluice.yaml:4:13: web.tls: << merges mappings, this is none",
		"sluice.yaml:5:16: web.labels: << merges mappings, this is none",
		"sluice.yaml:7:8: web.max: the tag !count means nothing here",
	)
}

func TestAliasesThatMultiplyAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("web:\n  labels: &m0 {a: b}\n")
	for i := range 30 {
		fmt.Fprintf(&b, "  x%d: &m%d {<<: [*m%d, *m%d]}\n", i, i+1, i, i)
	}
	b.WriteString("  tls: {<<: *m30}\n")
	_, err := decode(conf.Source{Doc: []byte(b.String())})
	if err == nil || strings.Count(err.Error(), "aliases make more than") != 1 {
		t.Errorf("the error is %v", err)
	}
}

func TestAKeyThatStandsTwiceIsAMistake(t *testing.T) {
	t.Parallel()
	wantErrors(t, yaml(
		"web:",
		"  listen: a",
		"  'listen': b",
		"  tls: {cert: a, cert: b}",
		"flv: {}",
		"web: {}",
		"frob: {}",
	),
		"sluice.yaml:3:3: web.listen: stands here twice, first in line 2",
		"sluice.yaml:4:18: web.tls.cert: stands here twice, first in line 4",
		"sluice.yaml:6:1: web: stands here twice, first in line 1",
		"sluice.yaml:7:1: frob: unknown section, there are web, flv",
	)
}

func TestADocumentThatIsNoConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"web: {}\n---\nflv: {}\n":       "sluice.yaml:3:1: a second document begins here; a configuration is one",
		"just text":                     "sluice.yaml:1:1: a configuration is a mapping of sections, this is text",
		"- web\n- flv":                  "sluice.yaml:1:1: a configuration is a mapping of sections, this is a list",
		"42":                            "sluice.yaml:1:1: a configuration is a mapping of sections, this is a number",
		"web: {\xff: 1}":                "sluice.yaml:1:7: not UTF-8 text",
		"w\x00e\x00b\x00":               "sluice.yaml:1:2: a NUL byte; is the file text?",
		"web: {}\nflv: [":               "sluice.yaml:2:6: sequence end token ']' not found",
		"web:\n\tlisten: a":             "sluice.yaml:2:1: found character '\t' that cannot start any token",
		strings.Repeat("[", 100):        "sluice.yaml:1:65: nested more than 64 levels deep",
		strings.Repeat("{a: ", 100):     "sluice.yaml:1:257: nested more than 64 levels deep",
		strings.Repeat("- ", 100) + "a": "sluice.yaml:1:129: nested more than 64 levels deep",
		strings.Repeat("a,\n", 10_001):  "sluice.yaml",
		strings.Repeat("- a\n", 10_001): "sluice.yaml:10001:1: more than 20000 words and signs",
		strings.Repeat("#\n", 600_000):  "sluice.yaml: larger than 1MiB",
	} {
		_, err := decode(conf.Source{Doc: []byte(doc)})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%.40q gives %v, want %s", doc, err, want)
		}
	}
}

func TestWindowsLineEndsDoNotMoveThePlaces(t *testing.T) {
	t.Parallel()
	wantErrors(t, conf.Source{Doc: []byte("# café\r\nweb:\r\n  max: x\r\n  # é\r\n  labels: {é: a, é: b}\r\n")},
		`sluice.yaml:3:8: web.max: wants a whole number, this is the text "x"`,
		"sluice.yaml:5:18: web.labels.é: stands here twice, first in line 5",
	)
}

func TestASyntaxErrorShowsNoneOfTheText(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"web:\n  token: sesame\n flv: [", "web:\n  token: \"sesame\n", "web: {token: sesame", "web:\n  token: sesame: x\n",
		"web:\n  token: [sesame\n", "web:\n  token: &sesame\n", "web:\n  token: @sesame", "web:\n  token: !sesame x",
	} {
		_, err := decode(conf.Source{Doc: []byte(doc)})
		if err != nil && strings.Contains(err.Error(), "sesame") && !strings.Contains(err.Error(), "!sesame") {
			t.Errorf("%q gives %v", doc, err)
		}
	}
}

func TestManyMistakesAreCounted(t *testing.T) {
	t.Parallel()
	_, err := decode(conf.Source{Doc: []byte(strings.Repeat("x: 1\n", 150))})
	if err == nil || strings.Count(err.Error(), "\n") != 100 || !strings.HasSuffix(err.Error(), "\nand 50 more") {
		t.Errorf("the error is %v", err)
	}
}
