// Package browser_test watches streams of the real server in a real Chromium:
// on the server's own page, and with the players of other pages.
package browser_test

import (
	"testing"

	"sluice/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
