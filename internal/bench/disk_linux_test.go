package bench_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/bench"
)

func TestTheDiskIsWrittenWhatItShallBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := bench.Disk(t.Context(), bench.DiskOptions{Dir: dir, Files: 4, BitRate: 8_000_000, Gap: 40 * time.Millisecond, Duration: 400 * time.Millisecond})
	if err != nil || r.Bytes <= 0 || r.Bytes > 4*11*40_000 {
		t.Errorf("Disk() = %+v, %v; want about 1,600,000 bytes", r, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("the files are %q, %v", files, err)
	}
	var total int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total != r.Bytes {
		t.Errorf("the files have %d bytes, counted were %d", total, r.Bytes)
	}
}
