package conf_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"sluice/internal/conf"
)

func TestDurationsCarryTheirUnit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "10s": 10 * time.Second, "250ms": 250 * time.Millisecond,
		"1h30m": 90 * time.Minute, "1.5s": 1500 * time.Millisecond, "15us": 15 * time.Microsecond,
	} {
		var d conf.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.D() != want {
			t.Errorf("%q is %v, %v, want %v", text, d.D(), err, want)
		}
	}
}

func TestDurationsPrintShortAndReadAgain(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Minute: "1m", 10 * time.Minute: "10m",
		time.Hour + time.Second: "1h0m1s", 10 * time.Second: "10s", 1500 * time.Millisecond: "1.5s",
		15 * time.Microsecond: "15us", math.MaxInt64: "2562047h47m16.854775807s",
	} {
		text, err := conf.Duration(d).MarshalText()
		if err != nil || string(text) != want {
			t.Errorf("%v prints as %q, %v, want %q", d, text, err, want)
		}
		var again conf.Duration
		if err := again.UnmarshalText(text); err != nil || again.D() != d {
			t.Errorf("%q reads as %v, %v", text, again.D(), err)
		}
	}
}

func TestADurationThatIsNoneSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10": "10 has no unit: write 10s", "1.5": "has no unit", "-1": "has no unit", "": "is no duration",
		"ten": `"ten" is no duration`, "10 s": "is no duration", "1d": "is no duration", "-5s": "-5s is negative",
		"1e999": "has no unit", "99999999999h": "is no duration",
	} {
		d := conf.Duration(7)
		err := d.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || d != 7 {
			t.Errorf("%q gives %v and the error %v, want %q", text, d, err, want)
		}
	}
}

func TestSizesCarryTheirUnit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]conf.Size{
		"0": 0, "0B": 0, "12B": 12, "64MiB": 64 << 20, "500kB": 500000, "500KB": 500000, "1 GiB": 1 << 30,
		"8388607TiB": 8388607 << 40, "2TB": 2e12, "3GB": 3e9, "4MB": 4e6,
	} {
		var z conf.Size
		if err := z.UnmarshalText([]byte(text)); err != nil || z != want {
			t.Errorf("%q is %d, %v, want %d", text, int64(z), err, int64(want))
		}
		text, _ := z.MarshalText()
		var again conf.Size
		if err := again.UnmarshalText(text); err != nil || again != z {
			t.Errorf("%d prints as %q and reads as %d, %v", int64(z), text, int64(again), err)
		}
	}
	for z, want := range map[conf.Size]string{64 * conf.MiB: "64MiB", 1000: "1000B", 1536: "1536B", 3 * conf.KiB: "3KiB"} {
		if z.String() != want {
			t.Errorf("%d prints as %q, want %q", int64(z), z, want)
		}
	}
}

func TestASizeThatIsNoneSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"64": "64 has no unit: write 64B", "64M": "is no size", "": "is no size", "MiB": "is no size",
		"-1B": "is no size", "1.5GiB": "whole number", "64Mb": "is no size", "8388608TiB": "too large",
		"99999999999999999999B": "too large", "99999999999999999999": "has no unit",
	} {
		z := conf.Size(7)
		err := z.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || z != 7 {
			t.Errorf("%q gives %v and the error %v, want %q", text, z, err, want)
		}
	}
}

func TestNetworksAreAddressesOrRangesOfThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "10.1.2.3/8": "10.0.0.0/8", "2001:db8::1/64": "2001:db8::/64", "::1": "::1", "::ffff:10.0.0.1": "10.0.0.1",
	} {
		var n, again conf.Network
		if err := n.UnmarshalText([]byte(text)); err != nil || n.String() != want {
			t.Errorf("%q is %v, %v, want %s", text, n, err, want)
		}
		printed, _ := n.MarshalText()
		if err := again.UnmarshalText(printed); err != nil || again != n {
			t.Errorf("%s reads as %v, %v", printed, again, err)
		}
	}
	for _, text := range []string{"", "localhost", "10.0.0", "10.0.0.0/33", "fe80::1%eth0"} {
		var n conf.Network
		if err := n.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
			t.Errorf("%q gives %v", text, err)
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	type config struct{ Token conf.Secret }
	c := config{Token: "sesame"}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
		fmt.Fprintf(&printed, verb+"\n", c, c)
	}
	fmt.Fprintln(&printed, c.Token, c, &c)
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(js)
	log := slog.New(slog.NewJSONHandler(&printed, nil))
	log.Info("configured", "token", c.Token, "section", c)
	slog.New(slog.NewTextHandler(&printed, nil)).Info("configured", "token", c.Token, "section", c)
	if s := printed.String(); strings.Contains(s, "sesame") || strings.Contains(s, "736573616d65") {
		t.Errorf("the secret is in %s", s)
	}
	if string(c.Token) != "sesame" {
		t.Error("the secret itself is lost")
	}
}

func TestStarsAreNotASecret(t *testing.T) {
	t.Parallel()
	s := conf.Secret("sesame")
	if err := s.UnmarshalText([]byte("***")); err == nil || string(s) != "sesame" {
		t.Errorf("*** was taken for a secret: %v", err)
	}
	if got := conf.Secret("").String(); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}
