package browser_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/cors"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"sluice/test/harness"
)

// allow gives the bucket the rule that docs/record.md asks for.
func allow(t *testing.T, storage *harness.Storage, origin string) {
	t.Helper()
	c, err := minio.New(storage.Endpoint.Host, &minio.Options{Creds: credentials.NewStaticV4(harness.S3Access, harness.S3Secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	err = c.SetBucketCors(t.Context(), "tests", cors.NewConfig([]cors.Rule{{
		AllowedOrigin: []string{origin}, AllowedMethod: []string{"GET", "HEAD"}, AllowedHeader: []string{"*"},
	}}))
	if err != nil {
		t.Fatal(err)
	}
}

func TestARecordingThatIsInTheStorageAlonePlaysAndSeeksOnThePage(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "open-sesame"} {
		t.Run("with the token "+token, func(t *testing.T) {
			t.Parallel()
			storage := harness.S3(t)
			server := harness.Start(t, "--set", "http.token="+token,
				"--set", "record.s3.endpoint="+storage.Endpoint.String(), "--set", "record.s3.bucket=tests", "--set", "record.s3.keep_local=false",
				"--set", "record.s3.access_key_file="+storage.Access, "--set", "record.s3.secret_key_file="+storage.Secret)
			allow(t, storage, "http://"+server.HTTP)
			harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
			b := launch(t).open(t, "http://"+server.HTTP+"/")
			if token != "" {
				b.enterToken(token)
			}
			of := card("live/test")
			b.click(of + " .record")
			b.until("it records", "/^0:0[5-9]|^0:[1-5]/.test(document.querySelector('.recorder .numbers').innerText)")
			b.click(of + " .record")
			harness.Eventually(t, "it is in the storage alone", func() bool {
				header := []string{}
				if token != "" {
					header = []string{"Authorization", "Bearer " + token}
				}
				_, body := server.Call(t, http.MethodGet, "/flv/record/list", header...)
				return strings.Contains(body, `"stored"`) && strings.Contains(body, `"local":false`)
			})
			b.click(of + " .recorder summary")
			b.click(of + " .does button:first-child")
			b.until("it plays", replay+"?.currentTime > 0.3 && "+replay+".videoWidth === 320 && "+replay+".duration > 3.5")
			for _, to := range []float64{3, 1} {
				if at := b.seeks(to); at < to-2 || at > to+2 {
					t.Errorf("seeking to %.2f s shows %.2f s, want at most a GOP between", to, at)
				}
			}
			if text := value[string](b, "document.querySelector('dialog.replay .notes').innerText"); text != "" {
				t.Errorf("the page says %q", text)
			}
		})
	}
}
