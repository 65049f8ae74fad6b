package casecheck_test

import (
	"flag"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/casecheck"
)

var update = flag.Bool("update", false, "write docs/cases.md")

const page = "../../docs/cases.md"

func TestEveryCaseHasOneTest(t *testing.T) {
	found, err := casecheck.Find(os.DirFS("../.."))
	if err != nil {
		t.Error(err)
	}
	cases, err := casecheck.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if _, ok := found[c.Number]; !ok {
			t.Errorf("case %d has no test: %s", c.Number, c.Title)
		}
	}
}

func TestThePageIsUpToDate(t *testing.T) {
	found, err := casecheck.Find(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	want, err := casecheck.Page(found)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/cases.md is not what `make docs` writes:\n%s", diff)
	}
}

func TestNoCaseIsLeftOutOfTheList(t *testing.T) {
	cases, err := casecheck.Cases()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[int]bool{}
	for _, c := range cases {
		listed[c.Number] = true
	}
	for _, r := range [][2]int{
		{1, 58}, {60, 60}, {64, 65}, {67, 71}, {75, 83}, {97, 99}, {101, 104}, {106, 108}, {114, 114}, {118, 120},
	} {
		for n := r[0]; n <= r[1]; n++ {
			if !listed[n] {
				t.Errorf("case %d is not in cases.txt", n)
			}
		}
	}
}

func TestFindReportsWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct{ src, want string }{
		"no number":    {"func TestCaseOfMine() {}", "a_test.go: TestCaseOfMine is not TestCase, three digits and a sentence"},
		"no sentence":  {"func TestCase042() {}", "a_test.go: TestCase042 is not TestCase, three digits and a sentence"},
		"twice":        {"func TestCase042One() {}\nfunc TestCase042Two() {}", "a_test.go: case 42 has a test in a_test.go already"},
		"not a number": {"func TestCase999Sentence() {}", "a_test.go: case 999 is not in the list of cases"},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{"a_test.go": {Data: []byte("package a\n" + tc.src)}}
			_, err := casecheck.Find(root)
			if err == nil || err.Error() != tc.want {
				t.Errorf("Find() error = %v, want %s", err, tc.want)
			}
		})
	}
}
