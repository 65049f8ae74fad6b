package module_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/module"
)

type config struct{ Name string }

func (config) Validate() error { return nil }

type other struct{}

func (other) Validate() error { return nil }

type running struct{ Name string }

func (running) Run(context.Context) error { return nil }

func TestADescriptorBuildsItsModuleFromItsOwnSection(t *testing.T) {
	t.Parallel()
	d := module.Describe("test", config{"default"}, func(_ context.Context, c config, _ module.Deps) (module.Module, error) {
		if c.Name == "" {
			return nil, errors.New("no name")
		}
		return running(c), nil
	})
	if d.Name != "test" || d.With != "" || d.Default != (config{"default"}) {
		t.Errorf("the descriptor is %+v", d)
	}
	m, err := d.Build(t.Context(), config{"other"}, module.Deps{})
	if err != nil || m != (running{"other"}) {
		t.Errorf("built %v, %v", m, err)
	}
	if _, err := d.Build(t.Context(), config{}, module.Deps{}); err == nil || err.Error() != "no name" {
		t.Errorf("the builder's error is %v", err)
	}
	if _, err := d.Build(t.Context(), other{}, module.Deps{}); err == nil || !strings.Contains(err.Error(), "module: test is configured by a module_test.other") {
		t.Errorf("with another section: %v", err)
	}
}

func TestFactsAreWhatWasSaidLast(t *testing.T) {
	t.Parallel()
	var f module.Facts
	if f.Get(module.FactHTTP) != "" || len(f.All()) != 0 {
		t.Error("facts that nobody said")
	}
	f.Set(module.FactHTTP, "a")
	f.Set(module.FactHTTP, "b")
	f.Set(module.FactPlay, "on")
	all := f.All()
	if d := cmp.Diff(map[string]string{module.FactHTTP: "b", module.FactPlay: "on"}, all); d != "" {
		t.Error(d)
	}
	all[module.FactHTTP] = "changed"
	if f.Get(module.FactHTTP) != "b" {
		t.Error("All() is no copy")
	}

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			f.Set(module.FactRTMP, "x")
			f.Get(module.FactRTMP)
			f.All()
		})
	}
	wg.Wait()
}
