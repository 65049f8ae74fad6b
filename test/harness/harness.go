// Package harness starts what the end-to-end and conformance tests need, each
// in its own process: the server itself, encoders and players of ffmpeg,
// nginx. Everything is stopped with the test that began it, every wait has a
// bound, and nothing sleeps: a wait ends with what it waits for.
package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Patience bounds every single wait of a test. It only has to be longer than
// anything takes on a busy machine: a wait ends with its event.
const Patience = 60 * time.Second

// binaryVar names the variable that tells the tests of a package where [Main]
// put the server. Whoever sets it beforehand tests a server of their own.
const binaryVar = "TEST_SLUICE"

// Main is the TestMain of a package that tests the real server: it builds the
// server, with the race detector if the tests themselves have it, and runs the
// tests.
func Main(m *testing.M) {
	if os.Getenv(binaryVar) != "" {
		m.Run()
		return
	}
	dir, err := os.MkdirTemp("", "sluice-test")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	bin := filepath.Join(dir, "sluice")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) //nolint:forbidigo // TestMain has no context
	defer cancel()
	if err := build(ctx, bin, Race); err != nil {
		panic(err)
	}
	if err := os.Setenv(binaryVar, bin); err != nil {
		panic(err)
	}
	m.Run()
}

func build(ctx context.Context, bin string, race bool, args ...string) error {
	line := append([]string{"build", "-o", bin}, args...)
	if race {
		line = append(line, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(line, "sluice/cmd/sluice")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the server: %w\n%s", err, out)
	}
	return nil
}

// Binary returns the path of the server that [Main] built.
func Binary(tb testing.TB) string {
	tb.Helper()
	bin := os.Getenv(binaryVar)
	if bin == "" {
		tb.Fatal("TestMain does not call harness.Main")
	}
	return bin
}

// Build builds the server anew, with other arguments for go build.
func Build(tb testing.TB, args ...string) string {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "sluice")
	if err := build(tb.Context(), bin, false, args...); err != nil {
		tb.Fatal(err)
	}
	return bin
}
