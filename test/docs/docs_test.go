// Package docs_test keeps the documentation true: its links, its
// configuration, its requests and its list of dependencies.
package docs_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/internal/flvtest"
	"sluice/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// pages returns the text of every page of documentation by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := flvtest.Root(t)
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(b)
		}
	}
	if len(out) < 8 {
		t.Fatalf("found %d pages only", len(out))
	}
	return out
}

// blocks returns the code blocks of a language.
func blocks(page, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %q is no link: %v", name, m[1], err)
				continue
			}
			target := name
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(name), u.Path)
			}
			switch {
			case u.Scheme != "":
				continue
			case !exists(target):
				t.Errorf("%s: %q leads nowhere", name, m[1])
			case u.Fragment != "" && !hasHeading(t, target, u.Fragment):
				t.Errorf("%s: %q names a heading that is not there", name, m[1])
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func hasHeading(t *testing.T, page, anchor string) bool {
	t.Helper()
	f, err := os.Open(page)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		title := strings.ToLower(strings.TrimLeft(s.Text(), "# "))
		title = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(title, "")
		if strings.HasPrefix(s.Text(), "#") && strings.ReplaceAll(title, " ", "-") == anchor {
			return true
		}
	}
	return false
}

func TestEveryYAMLBlockIsAConfiguration(t *testing.T) {
	found := 0
	for name, text := range pages(t) {
		for _, block := range blocks(text, "yaml") {
			found++
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			p := harness.Run(t, t.TempDir(), nil, harness.Binary(t), "config", "--config", file)
			if code := p.Wait(t); code != 0 {
				t.Errorf("%s: this is not a configuration (%d):\n%s\n%s", name, code, block, p.Output())
			}
		}
	}
	if found == 0 {
		t.Error("found no YAML at all")
	}
}

func TestEveryCurlNamesARoute(t *testing.T) {
	s := harness.Start(t)
	line := regexp.MustCompile(`(?m)^\s*curl\b.*$`)
	found := 0
	for name, text := range pages(t) {
		for _, call := range line.FindAllString(text, -1) {
			found++
			method, path := request(t, call)
			status, body := s.Call(t, method, path)
			if strings.Contains(body, "nothing is served at this path") || status == 405 || status >= 500 {
				t.Errorf("%s: %s\nanswers %d %s", name, call, status, body)
			}
		}
	}
	if found == 0 {
		t.Error("found no curl at all")
	}
}

// request returns what a curl command asks for.
func request(t *testing.T, call string) (method, path string) {
	t.Helper()
	method = "GET"
	if m := regexp.MustCompile(`-X (\w+)`).FindStringSubmatch(call); m != nil {
		method = m[1]
	}
	if regexp.MustCompile(`\s(-I|--head)\s`).MatchString(call) {
		method = "HEAD"
	}
	raw := regexp.MustCompile(`https?://[^\s"']+`).FindString(call)
	u, err := url.Parse(raw)
	if err != nil || raw == "" {
		t.Fatalf("no URL in %q: %v", call, err)
	}
	q := u.Query()
	q.Set("wait", "0s") // nobody publishes here
	u.RawQuery = q.Encode()
	return method, u.RequestURI()
}

func TestEveryDependencyIsExplained(t *testing.T) {
	root := flvtest.Root(t)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	page := read("docs/dependencies.md")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(read("go.mod"), -1) {
		names = append(names, m[1])
	}
	tools := regexp.MustCompile(`(?s)tool \((.*?)\)`).FindString(read("tools/go.mod")) + read("tools/s3/go.mod")
	for _, m := range regexp.MustCompile(`(?m)^(?:\t|tool )(\w\S*?)(/cmd/\S+)?$`).FindAllStringSubmatch(tools, -1) {
		names = append(names, m[1])
	}
	for _, file := range []string{"web/package.json", "test/peers/package.json"} {
		var npm struct{ Dependencies, DevDependencies map[string]string }
		if err := json.Unmarshal([]byte(read(file)), &npm); err != nil {
			t.Fatal(err)
		}
		names = slices.AppendSeq(names, maps.Keys(npm.Dependencies))
		names = slices.AppendSeq(names, maps.Keys(npm.DevDependencies))
	}
	if len(names) < 10 {
		t.Fatalf("found %q only", names)
	}
	for _, name := range names {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/dependencies.md does not say why %s is there", name)
		}
	}
	name := regexp.MustCompile("`(\\S+)`")
	for _, m := range regexp.MustCompile("(?m)^\\| (`\\S+`(?:, `\\S+`)*) \\|").FindAllStringSubmatch(page, -1) {
		for _, n := range name.FindAllStringSubmatch(m[1], -1) {
			if !slices.Contains(names, n[1]) {
				t.Errorf("docs/dependencies.md explains %s, which is not used", n[1])
			}
		}
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	root := flvtest.Root(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	reason := regexp.MustCompile(`(?:NewReason\(|&(?:Error|reason)\{)"([a-z0-9_]+)"`)
	found := 0
	for _, pattern := range []string{"rtmp/*.go", "internal/*/*.go", "cmd/*/*.go"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range reason.FindAllStringSubmatch(string(b), -1) {
				found++
				if !strings.Contains(string(page), "| `"+m[1]+"` |") {
					t.Errorf("%s: docs/operate.md does not explain the reason %s", name, m[1])
				}
			}
		}
	}
	if found == 0 {
		t.Error("found no reason at all")
	}
}
