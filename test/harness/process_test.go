package harness_test

import (
	"testing"

	"sluice/test/harness"
)

func TestALineOfAnAttributeIsNotThatOfALongerOne(t *testing.T) {
	t.Parallel()
	p := harness.Run(t, "", nil, "printf", `%s\n`,
		"msg=ended stream=web/h264_aac_kfindex reason=x", "msg=ended reason=x stream=web/h264_aac", "msg=ended stream=web/h264 reason=x", "frame= 1")
	for part, want := range map[string]string{
		"stream=web/h264_aac": "msg=ended reason=x stream=web/h264_aac",
		"stream=web/h264":     "msg=ended stream=web/h264 reason=x",
		"frame=":              "frame= 1",
	} {
		if got := p.WaitLine(t, part); got != want {
			t.Errorf("the line with %q is %q, want %q", part, got, want)
		}
	}
}
