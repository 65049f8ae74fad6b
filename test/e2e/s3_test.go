package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// upload is what the list says of one recording's upload.
type upload struct {
	File   string
	Bytes  int64
	Remote struct {
		State, Key, Error string
		Local             bool
		Attempts          int
	}
}

// awaited waits until the list says something of the only recording.
func awaited(t *testing.T, s *harness.Server, what string, is func(upload) bool) upload {
	t.Helper()
	var last upload
	harness.Eventually(t, what, func() bool {
		_, body := s.Call(t, http.MethodGet, "/flv/record/list")
		var list struct{ Items []upload }
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Items) != 1 {
			return false
		}
		last = list.Items[0]
		return is(last)
	})
	return last
}

func stored(u upload) bool { return u.Remote.State == "stored" }

// uploads starts a server in dir that uploads to storage.
func uploads(t *testing.T, dir string, storage *harness.Storage, set ...string) *harness.Server {
	t.Helper()
	args := []string{
		"--set", "record.s3.endpoint=" + storage.Endpoint.String(), "--set", "record.s3.bucket=tests", "--set", "record.s3.prefix=a",
		"--set", "record.s3.access_key_file=" + storage.Access, "--set", "record.s3.secret_key_file=" + storage.Secret,
	}
	for _, one := range set {
		args = append(args, "--set", "record.s3."+one)
	}
	return harness.StartIn(t, dir, args...)
}

// large makes a recording of more than two parts, and returns its file.
func large(t *testing.T, s *harness.Server, path string) string {
	t.Helper()
	push := harness.Connect(t, s.Push(path))
	_, tags := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	begun := false
	var r harness.Recording
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Kind == media.Video && p.Type == media.Frame {
			const filler = 400 << 10 // a NAL unit that says nothing
			n := []byte{0, filler >> 16, filler >> 8 & 0xff, filler & 0xff, 12}
			tag.Body = append(append(bytes.Clone(tag.Body), n...), bytes.Repeat([]byte{0xff}, filler-1)...)
		}
		push.Send(t, tag)
		if !begun && tag.DTS > 500*time.Millisecond {
			begun = true
			harness.Eventually(t, "it can be recorded", func() bool {
				status, body := s.Call(t, http.MethodPost, "/flv/record/start/"+path)
				return status == http.StatusOK && json.Unmarshal([]byte(body), &r) == nil
			})
		}
	}
	push.Finish(t)
	s.WaitLine(t, "session ended", "role=recording", "stream="+path)
	file := s.File(t, r)
	if info, err := os.Stat(file); err != nil || info.Size() < 32<<20 {
		t.Fatalf("the recording is %v, %v", info.Size(), err)
	}
	return file
}

// unfinished returns how many parts of uploads the storage keeps.
func unfinished(t *testing.T, storage *harness.Storage) (n int) {
	t.Helper()
	err := filepath.WalkDir(storage.File(".sgwtmp"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(name, "multipart") {
			n++
		}
		return nil // they come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// holds checks that the storage has a file, byte for byte.
func holds(t *testing.T, storage *harness.Storage, key, file string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(storage.File(key)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the storage has %d bytes of %d of %s, %v", len(got), len(want), key, err)
	}
}

func TestARecordingGoesToTheStorageAndIsFetchedFromThere(t *testing.T) {
	t.Parallel()
	storage := harness.S3(t)
	s := uploads(t, t.TempDir(), storage, "keep_local=false")
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/away"))
	r := record(t, s, "live/away")
	local, err := os.Open(s.File(t, r)) // it can be read when it has no name any more
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	done := s.Record(t, "POST", "stop/live/away")
	u := awaited(t, s, "it is in the storage alone", func(u upload) bool { return stored(u) && !u.Remote.Local })
	want, err := io.ReadAll(local)
	if err != nil || int64(len(want)) != done.Bytes || u.Remote.Key != "a/"+done.File {
		t.Fatalf("the file had %d bytes (%v), the list says %+v", len(want), err, u)
	}
	if _, err := os.Stat(filepath.Join(s.Records, filepath.FromSlash(r.File))); err == nil {
		t.Error("the file is on the disk still")
	}
	page, _ := s.Request(t, "GET", "/")
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src ws: wss: 'self' "+storage.Endpoint.String()+";") {
		t.Errorf("the page's policy is %q, want the storage in it and nothing else", policy)
	}
	url := "/flv/record/files/" + strings.ReplaceAll(done.File, "%", "%25")
	answer, body := s.Request(t, "GET", url)
	if answer.Request.URL.Host != storage.Endpoint.Host || answer.StatusCode != http.StatusOK || body != string(want) {
		t.Errorf("following the redirect: %d from %s with %d bytes", answer.StatusCode, answer.Request.URL.Host, len(body))
	}
	if status, body := s.Call(t, "GET", url, "Range", "bytes=100-199"); status != http.StatusPartialContent || body != string(want[100:200]) {
		t.Errorf("a range of it: %d with %d bytes", status, len(body))
	}
	if answer, _ := s.Request(t, "HEAD", url); answer.StatusCode != http.StatusOK || answer.ContentLength != int64(len(want)) {
		t.Errorf("its head: %d with a length of %d", answer.StatusCode, answer.ContentLength)
	}
	plays(t, storage.File(u.Remote.Key), src, 2.5)
	if status, body := s.Call(t, "DELETE", url); status != http.StatusNoContent {
		t.Errorf("deleting it: %d %s", status, body)
	}
	if _, err := os.Stat(storage.File(u.Remote.Key)); err == nil {
		t.Error("the object is there still")
	}
}

func TestAnUploadThatKillCutsOffBeginsAgain(t *testing.T) {
	t.Parallel()
	storage, dir := harness.S3(t), t.TempDir()
	s := uploads(t, dir, storage, "rate=8MiB")
	file := large(t, s, "live/large")
	harness.Eventually(t, "the storage has a part", func() bool { return unfinished(t, storage) > 0 })
	s.Kill(t)

	s = uploads(t, dir, storage)
	u := awaited(t, s, "it is stored", stored)
	holds(t, storage, u.Remote.Key, file)
	if n := unfinished(t, storage); n > 0 {
		t.Errorf("%d parts have stayed behind", n)
	}
}

func TestAnUploadSurvivesAStorageThatIsKilled(t *testing.T) {
	t.Parallel()
	storage := harness.S3(t)
	s := uploads(t, t.TempDir(), storage, "rate=8MiB")
	file := large(t, s, "live/large")
	harness.Eventually(t, "the storage has a part", func() bool { return unfinished(t, storage) > 0 })
	storage.Kill(t)
	u := awaited(t, s, "an attempt has failed", func(u upload) bool { return u.Remote.Attempts > 0 })
	if u.Remote.State != "waiting" || u.Remote.Error == "" || !u.Remote.Local {
		t.Errorf("the list says %+v", u)
	}
	storage.Start()
	u = awaited(t, s, "it is stored", stored)
	holds(t, storage, u.Remote.Key, file)
	if n := unfinished(t, storage); n > 0 {
		t.Errorf("%d parts have stayed behind", n)
	}
}

func TestAWrongKeyIsToldAndCanBePutRight(t *testing.T) {
	t.Parallel()
	storage, dir := harness.S3(t), t.TempDir()
	if err := os.WriteFile(storage.Secret, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := uploads(t, dir, storage, "keep_local=false")
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/key"))
	record(t, s, "live/key")
	done := s.Record(t, "POST", "stop/live/key")
	u := awaited(t, s, "an attempt has failed", func(u upload) bool { return u.Remote.Attempts > 0 })
	if !strings.Contains(u.Remote.Error, "SignatureDoesNotMatch") || !u.Remote.Local {
		t.Errorf("the list says %+v", u)
	}
	plays(t, s.File(t, done), src, 2.5)
	if err := os.WriteFile(storage.Secret, []byte(harness.S3Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	u = awaited(t, s, "it is stored", stored)
	if !stored(u) || strings.Contains(s.Output(), harness.S3Secret) {
		t.Errorf("the list says %+v, and the log is\n%s", u, s.Output())
	}
}

func TestAServerOnANewDiskListsWhatTheStorageHas(t *testing.T) {
	t.Parallel()
	storage := harness.S3(t)
	s := uploads(t, t.TempDir(), storage, "keep_local=false")
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/lost"))
	record(t, s, "live/lost")
	done := s.Record(t, "POST", "stop/live/lost")
	awaited(t, s, "it is in the storage alone", func(u upload) bool { return stored(u) && !u.Remote.Local })
	s.Kill(t)
	for _, name := range []string{"a/notes.flv", "a/live/notes.txt", "other.flv"} {
		if err := os.WriteFile(storage.File(name), []byte("something else"), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	storage.Kill(t)
	s = uploads(t, t.TempDir(), storage, "keep_local=false")
	s.WaitLine(t, "could not look for recordings in the storage")
	storage.Start()
	u := awaited(t, s, "it is listed again", stored)
	if u.File != done.File || u.Bytes != done.Bytes || u.Remote.Local || u.Remote.Key != "a/"+done.File {
		t.Errorf("the list says %+v, want %+v", u, done)
	}
	url := "/flv/record/files/" + strings.ReplaceAll(done.File, "%", "%25")
	if status, body := s.Call(t, "GET", url); status != http.StatusOK || int64(len(body)) != done.Bytes {
		t.Errorf("its file: %d with %d bytes of %d", status, len(body), done.Bytes)
	}
	plays(t, storage.File(u.Remote.Key), src, 2.5)
	if status, body := s.Call(t, "DELETE", url); status != http.StatusNoContent {
		t.Errorf("deleting it: %d %s", status, body)
	}
	if _, err := os.Stat(storage.File(u.Remote.Key)); err == nil {
		t.Error("the object is there still")
	}
}
