package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostile returns more than 500 names that must never reach the file system.
func hostile(file string) []string {
	all := append(odd(file), ".", "..")
	up := []string{
		"..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%00", "%00..", "..;", "...", "....", ". .", "..%20", "%20..", "..%09", "~", "~root",
		"%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%uff0e%uff0e", "%ef%bc%8e%ef%bc%8e", "C:", "C:..", "%5c%5c%3f", "%5c%5c.",
	}
	slash := []string{"/", "%2f", "%2F", "%252f", "%5c", "%255c", "//", "/./", "%c0%af", "%ef%bc%8f"}
	for _, u := range up {
		for _, s := range slash {
			all = append(all, u+s+"secret.flv", "live"+s+u+s+u+s+"secret.flv")
		}
	}
	for _, device := range []string{"CON", "nul", "aux.txt", "com1", "LPT9.x", "CONIN$", "conout$", "clock$", "nul%20", "nul."} {
		all = append(all, device+".flv", "live/"+device+".flv", device+"/x.flv", device+":stream.flv")
	}
	for n := range 32 {
		all = append(all, fmt.Sprintf("a%%%02x.flv", n), fmt.Sprintf("live/%%%02x/x.flv", n))
	}
	for _, n := range []int{256, 1024, 4096, 8000} {
		long := strings.Repeat("a", n)
		all = append(all, long+".flv", "live/"+long+"/x.flv", strings.Repeat("../", n/3)+"secret.flv", strings.Repeat("%2e%2e/", n/7)+"secret.flv")
	}
	return all
}

// odd are names that are more than combinations.
func odd(file string) []string {
	long := strings.Repeat("a", 300)
	return []string{
		"", ".", "..", "../", "/", "//", "..%2f", "..%2frec.catalog", "%2e%2e/secret.flv", "..%2fsecret.flv", "../secret.flv",
		"live/../../secret.flv", "live/%2e%2e/%2e%2e/secret.flv", "..%5csecret.flv", "%00", "secret.flv%00", "a%00.flv", long, long + ".flv",
		"/etc/passwd", "%2fetc%2fpasswd", "C:%5cboot.ini", "con", "nul.flv", "%", "%zz", "%c0%ae%c0%ae/secret.flv", "..%252fsecret.flv",
		file + "/", "./" + file, "live/./" + file, "/" + file, file + "%00", file + ".", file + "%20", strings.ToUpper(file),
		strings.Replace(file, "/", "//", 1), strings.Replace(file, "/", "%5c", 1), "link.flv", "live/link.flv", "live", "live/", "stray.flv",
	}
}

func TestHostileNamesNeverReachTheFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	f := s.finished(t, "live/test", "h264_aac.flv", time.Second)
	for name, content := range map[string]string{"secret.flv": "secret", "rec/stray.flv": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"rec/link.flv", "rec/live/link.flv"} {
		if err := os.Symlink(filepath.Join(dir, "secret.flv"), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	names := hostile(f.File)
	if len(names) < 500 {
		t.Errorf("there are %d names", len(names))
	}
	for _, name := range names {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			w := httptest.NewRecorder()
			r := &http.Request{Method: method, Host: "localhost", RemoteAddr: "127.0.0.1:1", Header: http.Header{}, URL: rawURL(files + name), Body: http.NoBody}
			s.mux.ServeHTTP(w, r.WithContext(t.Context()))
			if w.Code != http.StatusNotFound || bytes.Contains(w.Body.Bytes(), []byte("secret")) {
				t.Errorf("%s %q answered %d %s", method, name, w.Code, w.Body)
			}
		}
		for _, call := range []string{"start/", "stop/"} {
			w := httptest.NewRecorder()
			r := &http.Request{Method: http.MethodPost, Host: "localhost", RemoteAddr: "127.0.0.1:1", Header: http.Header{}, URL: rawURL("/flv/record/" + call + name), Body: http.NoBody}
			s.mux.ServeHTTP(w, r.WithContext(t.Context()))
			if w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound {
				t.Errorf("%s %q answered %d %s", call, name, w.Code, w.Body)
			}
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("the files were\n%sand are\n%s", before, after)
	}
}

// What has taken the place of a recording is none: neither what it leads to
// is served, nor is a pipe waited for that nobody writes to.
func TestOnlyAFileIsServedAsARecording(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(dir, name string) error{
		"link to the outside": func(dir, name string) error { return os.Symlink(filepath.Join(dir, "secret.flv"), name) },
		"link within": func(dir, name string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "rec", "notes.txt"), []byte("secret"), 0o644), os.Symlink("../../notes.txt", name))
		},
		"folder": func(_, name string) error { return os.Mkdir(name, 0o755) },
		"pipe":   func(_, name string) error { return exec.CommandContext(t.Context(), "mkfifo", name).Run() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := newServer(t, dir)
			f := s.finished(t, "live/test", "h264_aac.flv", time.Second)
			if err := errors.Join(os.Rename(s.file(f), filepath.Join(dir, "secret.flv")), put(dir, s.file(f))); err != nil {
				t.Fatal(err)
			}
			for _, query := range []string{"", "?start=1", "?follow=true", "?format=mp4"} {
				refused(t, s.call(http.MethodGet, files+f.File+query), http.StatusNotFound, "gone")
			}
			if items := s.list(t, "").Items; len(items) != 0 {
				t.Errorf("the list has %+v", items)
			}
		})
	}
}

// rawURL is a URL whose path stands on the wire as it is here.
func rawURL(path string) *url.URL {
	u := &url.URL{Path: path, RawPath: path}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	}
	return u
}

// tree lists everything below a folder, with its size.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		_, err = io.WriteString(&b, fmt.Sprintln(name, info.Size(), info.Mode()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
