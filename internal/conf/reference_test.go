package conf_test

import (
	"strings"
	"testing"

	"sluice/internal/conf"
)

func TestTheReferenceNamesEveryKeyAndItsDefaultsDecode(t *testing.T) {
	t.Parallel()
	page := string(conf.Reference(sections()))
	for _, row := range []string{
		"\n## `web`\n\nThe web section.\n",
		"| `web.listen` | `\":8080\"` | `SLUICE_WEB_LISTEN` | Address. |",
		"| `web.token` | `\"\"` | `SLUICE_WEB_TOKEN` | Secret. |",
		"| `web.tls.cert` | `\"\"` | `SLUICE_WEB_TLS_CERT` | File. |",
		"| `web.origins` | below | `SLUICE_WEB_ORIGINS` | List. |",
		"| `web.links` | none | `SLUICE_WEB_LINKS` | List of structs. |",
		"| `web.links[].every` | | | Pause. |",
		"| `flv.window` | `64MiB` | `SLUICE_FLV_WINDOW` | Size. |",
	} {
		if !strings.Contains(page, row) {
			t.Errorf("%q is missing in\n%s", row, page)
		}
	}
	_, block, _ := strings.Cut(page, "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	if got := effective(t, conf.Source{Doc: []byte(block)}); got != block {
		t.Errorf("the defaults decode to\n%s", got)
	}
}

type badConfig struct {
	CamelCase string         `yaml:"camelCase" doc:"x"`
	Silent    string         `yaml:"silent"`
	Channel   chan int       `yaml:"channel" doc:"x"`
	Pointer   *string        `yaml:"pointer" doc:"x"`
	Any       []any          `yaml:"any" doc:"x"`
	ByNumber  map[int]string `yaml:"by_number" doc:"x"`
	ReadOnly  readOnly       `yaml:"read_only" doc:"x"`
	Chosen    chosen         `yaml:"chosen" doc:"x"`
	AB        struct {
		C string `yaml:"c" doc:"x"`
	} `yaml:"a_b" doc:"x"`
	A struct {
		BC string `yaml:"b_c" doc:"x"`
	} `yaml:"a" doc:"x"`
}

func (badConfig) Validate() error { return nil }

type readOnly struct{}

func (*readOnly) UnmarshalText([]byte) error { return nil }

type chosen string

func (*chosen) UnmarshalText([]byte) error { return nil }

func TestCheckFindsSectionsThatAreDeclaredWrong(t *testing.T) {
	t.Parallel()
	if err := conf.Check(sections()); err != nil {
		t.Errorf("good sections: %v", err)
	}
	err := conf.Check([]conf.Section{{Name: "bad", Default: badConfig{}}, {Name: "ptr", Default: &badConfig{}}, {Name: "nil"}})
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "chosen") {
		t.Errorf("a text of a type of its own is printed as it is: %v", err)
	}
	for _, want := range []string{
		`bad.camelCase: "camelCase" is not snake_case`, "bad.silent: no doc tag", "bad.channel: no way to decode a chan int",
		"bad.pointer: no way to decode a *string", "bad.any: no way to decode a interface {}",
		"bad.read_only: a conf_test.readOnly can be read, but not printed",
		"bad.by_number: the keys of a map[int]string are no texts",
		"bad.a.b_c: SLUICE_BAD_A_B_C is the variable of bad.a_b.c too",
		"ptr: the section is a *conf_test.badConfig, not a struct", "nil: the section is a <nil>, not a struct",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
}
