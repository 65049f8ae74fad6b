package conformance_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

const frame = 40 * time.Millisecond // of the picture in all test media

// everyWay opens a stream in every way that viewers have.
func everyWay(t *testing.T, s *harness.Server, path string) map[string]*harness.Viewer {
	t.Helper()
	return map[string]*harness.Viewer{
		"HTTP":      harness.Watch(t, s.Play("http", path+".flv?wait=30s&join=gop")),
		"HTTP 1.0":  harness.Watch(t, s.Play("http/1.0", path+".flv?wait=30s&join=gop")),
		"WebSocket": harness.Watch(t, s.Play("ws", path+".flv?wait=30s&join=gop")),
	}
}

// rest reads the rest of a body, which has to end cleanly.
func rest(t *testing.T, way string, v *harness.Viewer) []flv.Tag {
	t.Helper()
	body, err := v.Rest()
	if err != nil {
		t.Fatalf("%s: the body does not end as it should: %v", way, err)
	}
	return second(harness.ReadTags(t, bytes.NewReader(body)))
}

// steady checks that within each track no frame is further from the one before
// than that, and none before it.
func steady(t *testing.T, way string, tags []flv.Tag, most time.Duration) {
	t.Helper()
	last := map[media.Kind]time.Duration{}
	for _, tag := range frames(tags, false) {
		kind := flv.ParseBody(tag.Type, tag.Body).Kind
		if at, ok := last[kind]; ok && kind != media.Data && (tag.DTS < at || tag.DTS-at > most) {
			t.Errorf("%s: %v at %v behind %v", way, kind, tag.DTS, at)
		}
		last[kind] = tag.DTS
	}
}

func countConfigs(tags []flv.Tag) map[media.Kind]int {
	n := map[media.Kind]int{}
	for _, tag := range tags {
		if p := flv.ParseBody(tag.Type, tag.Body); p.Type == media.Config || p.Type == media.Metadata && p.Kind == media.Data {
			n[p.Kind]++
		}
	}
	return n
}

// cut returns the tags up to that time, without an end of sequence.
func cut(tags []flv.Tag, at time.Duration) []flv.Tag {
	return frames(slices.DeleteFunc(slices.Clone(tags), func(tag flv.Tag) bool { return tag.DTS > at }), true)
}

func TestCase109ARepublishedStreamGoesOnInTheSameResponses(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range []string{"h264_aac", "h264_bframes_aac", "h264_only", "aac_only", "hevc_aac_enhanced"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "case109/" + name
			_, tags := harness.Tags(t, flvtest.Path(t, name+".flv"))
			once := cut(tags, 2500*time.Millisecond)
			p := harness.Connect(t, s.Push(path))
			p.Send(t, once...)
			viewers := everyWay(t, s, path)
			rec := s.Record(t, "POST", "start/"+path)
			for _, v := range viewers {
				v.Begin(t)
			}
			p.Close()
			s.WaitLine(t, "the stream is held for its publisher", "stream="+path)
			if now := s.Record(t, "GET", "status/"+path); now.State != "reconnecting" || now.ID != rec.ID {
				t.Errorf("the recording is %+v", now)
			}

			// The clock of a new connection may begin anywhere.
			p = harness.Connect(t, s.Push(path))
			p.Send(t, harness.Shift(tags, 77*time.Minute)...)
			s.WaitLine(t, "the stream goes on with its new publisher", "stream="+path)
			p.Finish(t)
			for way, v := range viewers {
				checkTwice(t, way, tags, rest(t, way, v))
			}
			s.WaitLine(t, "session ended", "role=recording", "stream="+path)
			checkTwice(t, "recording", tags, second(harness.Tags(t, s.File(t, rec))))
		})
	}
}

// checkTwice checks that a body goes on with all of the tags, without a seam.
func checkTwice(t *testing.T, way string, tags, got []flv.Tag) {
	t.Helper()
	for kind, n := range countConfigs(got) {
		if n != 1 {
			t.Errorf("%s: %d of the configurations or metadata of %v, want 1", way, n, kind)
		}
	}
	// Sound keeps its distance to the picture, which goes on a frame behind the
	// last: what that is at the beginning may be missing.
	want, again := frames(tags, false), frames(got, false)
	first := map[media.Kind]time.Duration{}
	for _, tag := range slices.Backward(want) {
		first[flv.ParseBody(tag.Type, tag.Body).Kind] = tag.DTS
	}
	steady(t, way, got, frame+25*time.Millisecond+max(0, first[media.Audio]-first[media.Video]))
	if first := slices.IndexFunc(want, isKey); first > 0 {
		want = want[first:]
	}
	if len(again) <= len(want) {
		t.Fatalf("%s: %d frames, want more than %d", way, len(again), len(want))
	}
	again = again[len(again)-len(want):]
	for i := range want {
		if !bytes.Equal(again[i].Body, want[i].Body) {
			t.Fatalf("%s: frame %d of the second publisher is another one", way, i)
		}
		if d := (again[i].DTS - again[0].DTS) - (want[i].DTS - want[0].DTS); d != 0 {
			t.Fatalf("%s: frame %d is off by %v", way, i, d)
		}
	}
}

func TestCase110ARepublishWithOtherConfigurationsEndsTheResponses(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, first := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	for name, next := range map[string]string{
		"size": "mutants/sps_change_nogap.flv", "profile": "h264_bframes_aac.flv", "codec": "hevc_aac_enhanced.flv", "fewer": "h264_only.flv",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "case110/" + name
			p := harness.Connect(t, s.Push(path))
			p.Send(t, cut(first, 2*time.Second)...)
			viewers := everyWay(t, s, path)
			for _, v := range viewers {
				v.Begin(t)
			}
			p.Close()
			s.WaitLine(t, "the stream is held for its publisher", "stream="+path)

			_, tags := harness.Tags(t, flvtest.Path(t, next))
			if name == "size" { // from its change on
				tags = afterChange(tags)
			}
			p = harness.Connect(t, s.Push(path))
			p.Send(t, tags...)
			for way, v := range viewers {
				if got := rest(t, way, v); countConfigs(got)[media.Video] != 1 {
					t.Errorf("%s: %v configurations", way, countConfigs(got))
				}
			}
			again := everyWay(t, s, path)
			for _, v := range again {
				v.Begin(t)
			}
			p.Finish(t)
			for way, v := range again {
				got := rest(t, way, v)
				want := tags[slices.IndexFunc(tags, isConfig)]
				if i := slices.IndexFunc(got, isConfig); i < 0 || !bytes.Equal(got[i].Body, want.Body) {
					t.Errorf("%s: a new request does not get the new configuration", way)
				}
			}
		})
	}
}

// afterChange returns the tags from the second configuration of the picture on,
// with that of the sound before it.
func afterChange(tags []flv.Tag) []flv.Tag {
	sound := slices.IndexFunc(tags, func(tag flv.Tag) bool {
		return tag.Type == flv.TagAudio && flv.ParseBody(tag.Type, tag.Body).Type == media.Config
	})
	first := slices.IndexFunc(tags, isConfig)
	second := first + 1 + slices.IndexFunc(tags[first+1:], isConfig)
	return append([]flv.Tag{tags[sound]}, tags[second:]...)
}

func isConfig(tag flv.Tag) bool {
	p := flv.ParseBody(tag.Type, tag.Body)
	return p.Kind == media.Video && p.Type == media.Config
}

func TestCase111JumpsOfThePublishersClockAreNotSeen(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, plain := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	plain = frames(plain, false)
	at := map[string]time.Duration{} // by what is in a frame
	first := plain[slices.IndexFunc(plain, isKey)].DTS
	for _, tag := range plain {
		at[string(tag.Body)] = tag.DTS - first
	}
	for _, name := range []string{"jump_fwd60", "jump_back1s", "ts_24bit", "ts_wrap24", "ts_wrap32", "ts_2p31cross"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, "mutants/"+name+".flv"))
			for way, body := range roundTrip(t, s, "case111/"+name, sent) {
				_, got := harness.ReadTags(t, bytes.NewReader(body))
				got = frames(got, false)
				steady(t, way, got, 100*time.Millisecond)
				for _, tag := range got {
					want, ok := at[string(tag.Body)]
					if d := tag.DTS - got[0].DTS - want; !ok || d > frame || d < -frame {
						t.Fatalf("%s: a frame is at %v, want %v", way, tag.DTS-got[0].DTS, want)
					}
				}
			}
		})
	}
}

func TestCase123WithoutItsConfigurationThePictureIsLeftOutOrMadeDecodable(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	t.Run("left out", func(t *testing.T) {
		t.Parallel()
		const path = "case123/none"
		_, sent := harness.Tags(t, flvtest.Path(t, "mutants/noseqhdr.flv"))
		p := harness.Connect(t, s.Push(path))
		p.Send(t, sent...)
		v := harness.Watch(t, s.Play("http", path+"?wait=30s"))
		next := 4 * time.Second
		harness.Eventually(t, "the log warns", func() bool {
			p.Send(t, harness.Shift(cut(sent, 40*time.Millisecond), next)...)
			next += 100 * time.Millisecond
			return slices.ContainsFunc(s.Lines(), func(line string) bool {
				return bytes.Contains([]byte(line), []byte("sends no decoder configuration")) && bytes.Contains([]byte(line), []byte("level=WARN"))
			})
		})
		p.Finish(t)
		body, err := v.Rest()
		if err != nil || body[4] != 4 {
			t.Errorf("flags %#02x, want sound alone (%v)", body[4:5], err)
		}
		for _, tag := range second(harness.ReadTags(t, bytes.NewReader(body))) {
			if tag.Type == flv.TagVideo {
				t.Fatal("a viewer got video")
			}
		}
	})
	for _, name := range []string{"noseqhdr_inband", "noseqhdr_annexb"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, "mutants/"+name+".flv"))
			for way, body := range roundTrip(t, s, "case123/"+name, sent) {
				file := save(t, body)
				out := harness.Output(t, nil, "ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "null", "-")
				if out != "" {
					t.Errorf("%s: ffmpeg complains:\n%s", way, out)
				}
				_, tags := harness.ReadTags(t, bytes.NewReader(body))
				if n := len(tracks(tags)[media.Video]); n < 100 {
					t.Errorf("%s: %d tags of video", way, n)
				}
			}
		})
	}
}

func TestCase124APublisherThatStartsBetweenKeyFramesBeginsAtTheNext(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "mutants/start_on_pframe.flv"))
	for way, body := range roundTrip(t, s, "case124", sent) {
		header, tags := harness.ReadTags(t, bytes.NewReader(body))
		if got := frames(tags, false); !isKey(got[0]) || !header.Audio || !header.Video {
			t.Errorf("%s: the first frame is of type %d, the header says %+v", way, got[0].Type, header)
		}
	}
}

func TestCase125RepeatedConfigurationsAreSwallowed(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "mutants/dup_seq.flv"))
	for way, body := range roundTrip(t, s, "case125", sent) {
		_, tags := harness.ReadTags(t, bytes.NewReader(body))
		if n := countConfigs(tags); n[media.Video] != 1 || n[media.Audio] != 1 {
			t.Errorf("%s: %v configurations, want one each", way, n)
		}
	}
}

func TestCase126SoundThatIsAheadOfThePictureIsInOneStreamWithIt(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		_, sent := harness.Tags(t, flvtest.Path(t, "mutants/late_video.flv"))
		for way, body := range roundTrip(t, s, "case126/in-time", sent) {
			header, tags := harness.ReadTags(t, bytes.NewReader(body))
			if way == "recording" { // in which is no sound: what the file has comes before the picture
				header.Audio = !header.Audio
			}
			if !header.Audio || !header.Video || !isKey(frames(tags, false)[0]) {
				t.Errorf("%s: the header says %+v", way, header)
			}
		}
	})
	t.Run("too late", func(t *testing.T) {
		t.Parallel()
		checkLatePicture(t, s, "case126/too-late")
	})
}

// checkLatePicture publishes two seconds of sound before there is a picture. Who watches
// the stream that it is until then gets a clean end, and a new request both tracks.
func checkLatePicture(t *testing.T, s *harness.Server, path string) {
	t.Helper()
	_, sent := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	const ahead = 2 * time.Second
	late := append(ofType(cut(sent, ahead), flv.TagAudio), harness.Shift(sent, ahead)...)
	picture := slices.IndexFunc(late, isKey)
	p := harness.Connect(t, s.Push(path))
	p.Send(t, late[:picture]...)
	viewers := everyWay(t, s, path)
	for _, v := range viewers {
		v.Begin(t)
	}
	p.Send(t, late[picture:]...)
	for way, v := range viewers {
		body, err := v.Rest()
		if err != nil {
			t.Fatalf("%s: the body does not end as it should: %v", way, err)
		}
		header, tags := harness.ReadTags(t, bytes.NewReader(body))
		if pictures := ofType(tags, flv.TagVideo); !header.Audio || header.Video || len(pictures) > 0 || len(frames(tags, false)) == 0 {
			t.Errorf("%s: before the picture the header says %+v, and there are %d tags of it", way, header, len(pictures))
		}
	}
	again := everyWay(t, s, path)
	for _, v := range again {
		v.Begin(t)
	}
	p.Finish(t)
	for way, v := range again {
		body, err := v.Rest()
		if err != nil {
			t.Fatalf("%s: the second body does not end as it should: %v", way, err)
		}
		header, tags := harness.ReadTags(t, bytes.NewReader(body))
		if !header.Audio || !header.Video || !isKey(frames(tags, false)[0]) {
			t.Errorf("%s: with the picture the header says %+v", way, header)
		}
	}
}

func TestCase127BFramesComeThroughAsTheyAre(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "h264_bframes_aac.flv"))
	for way, body := range roundTrip(t, s, "case127", sent) {
		_, tags := harness.ReadTags(t, bytes.NewReader(body))
		sameTags(t, sent, tags)
		late := 0
		for _, tag := range tags {
			if flv.ParseBody(tag.Type, tag.Body).CTS > 0 {
				late++
			}
		}
		if late == 0 {
			t.Errorf("%s: no frame has a composition time", way)
		}
	}
}

func TestAPublisherThatStaysAwayEndsTheResponsesCleanly(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--set", "rtmp.reconnect_window=1s")
	_, tags := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	p := harness.Connect(t, s.Push("away"))
	p.Send(t, tags...)
	raw := rawBody(t, s.HTTP, "/flv/away?wait=30s")
	p.Close()
	b, err := io.ReadAll(raw)
	if err != nil || !bytes.HasSuffix(b, []byte("0\r\n\r\n")) {
		t.Errorf("the body ends with %q (%v)", b[max(0, len(b)-20):], err)
	}
	s.WaitLine(t, "session ended", "role=viewer", "reason=publisher_lost")
}
