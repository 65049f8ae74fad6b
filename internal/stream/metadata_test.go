package stream_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sluice/media"
)

func TestTheLastMetadataWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, onMetaData("one"), avcConfig(1), aacConfig(1), key(0), onMetaData("two"), aac(0))
		s := find(t, r)
		if got := s.Metadata(); got == nil || string(got.Body) != string(onMetaData("two").Body) {
			t.Errorf("Metadata() = %+v, want the last before the stream was ready", got)
		}
		write(t, p, onMetaData("three"))
		if got := s.Metadata(); got == nil || string(got.Body) != string(onMetaData("three").Body) {
			t.Errorf("Metadata() = %+v, want the last", got)
		}
	})
}

func TestAStreamNeedNotHaveMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := live(t, newRegistry(), 0)
		if got := s.Metadata(); got != nil {
			t.Errorf("Metadata() = %+v, want none", got)
		}
	})
}

func TestMetadataIsRelayedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, onMetaData("one"), avcConfig(1), aacConfig(1), key(0), aac(0))
		v := tap(t, find(t, r))
		late := onMetaData("two")
		late.DTS = ms(5000)
		write(t, p, onMetaData("one"), inter(40), late, late, inter(80), late, onMetaData("one"), onMetaData("one"))
		// At time 0 wherever it stands: players take another one for a track.
		want := []string{"key 0", "audio 0", "video 40", "metadata 0", "video 80", "metadata 0"}
		if diff := cmp.Diff(want, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestMetadataOutlivesAChangeOfConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, _ := live(t, r, 0)
		write(t, p, onMetaData("one"), avcConfig(2), key(40), aac(40))
		s := find(t, r)
		if got := s.Metadata(); got == nil || string(got.Body) != string(onMetaData("one").Body) {
			t.Errorf("Metadata() = %+v, want that of the publisher", got)
		}
	})
}

func TestScriptsThatAreForNobodyAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		write(t, p, media.Packet{Kind: media.Data, Type: media.Other, Body: []byte("\x02\x00\x0f@clearDataFrame")})
		if len(v.packets) != v.window || s.Metadata() != nil {
			t.Errorf("packets %v, metadata %+v", v.names(), s.Metadata())
		}
	})
}
