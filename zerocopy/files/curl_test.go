package files_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
	"netbench/zerocopy/files"
)

// curl runs the command and returns what it prints.
func curl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-q", "-sS", "--noproxy", "*"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		needs.Skip(t, needs.Curl, err)
	}
}

func TestCurlUploadsAndDownloadsUnderItsName(t *testing.T) {
	needCurl(t)
	s := serve(t, place{})
	mine, content := t.TempDir(), noise(3<<20)
	require.NoError(t, os.WriteFile(filepath.Join(mine, "ein Bär.bin"), []byte(content), 0o600))
	// Above 1 MiB curl asks first, with Expect: 100-continue.
	out, err := curl(t, mine, "-w", "\n%{http_code}", "-F", "file=@ein Bär.bin", "http://"+s.addr+"/upload")
	require.NoError(t, err, out)
	assert.Contains(t, out, `"filename":"ein Bär.bin","size":3145728,"md5":"`)
	assert.True(t, strings.HasSuffix(out, "\n201"), out)

	out, err = curl(t, mine, "-o", "again", "http://"+s.addr+"/download?file=ein%20B%C3%A4r.bin")
	require.NoError(t, err, out)
	again, err := os.ReadFile(filepath.Join(mine, "again"))
	require.NoError(t, err)
	assert.True(t, string(again) == content)

	out, err = curl(t, mine, "-r", "10-19", "http://"+s.addr+"/ein%20B%C3%A4r.bin")
	require.NoError(t, err)
	assert.True(t, out == content[10:20])

	out, err = curl(t, mine, "-I", "http://"+s.addr+"/ein%20B%C3%A4r.bin")
	require.NoError(t, err)
	assert.Contains(t, out, "Content-Length: 3145728\r\n")

	s.put("plain.txt", "hello")
	out, err = curl(t, mine, "-OJ", "http://"+s.addr+"/download?file=plain.txt")
	require.NoError(t, err, out)
	saved, err := os.ReadFile(filepath.Join(mine, "plain.txt"))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(saved))
}

func TestCurlResumesWhatWasCut(t *testing.T) {
	needCurl(t)
	s := serve(t, place{})
	content := noise(5 << 20)
	s.put("a.bin", content)
	mine := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(mine, "a.bin"), []byte(content[:2_000_000]), 0o600))
	out, err := curl(t, mine, "-w", "%{http_code}", "-C", "-", "-o", "a.bin", "http://"+s.addr+"/a.bin")
	require.NoError(t, err, out)
	assert.Equal(t, strconv.Itoa(http.StatusPartialContent), out)
	got, err := os.ReadFile(filepath.Join(mine, "a.bin"))
	require.NoError(t, err)
	assert.True(t, string(got) == content, "not the original")
}

func TestCurlIsToldWhatIsWrong(t *testing.T) {
	needCurl(t)
	s := serve(t, place{Config: files.Config{MaxSize: 1000}})
	mine := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(mine, "large"), []byte(noise(8<<20)), 0o600))
	for _, c := range []struct {
		want string
		args []string
	}{
		{`{"status":404,"error":"there is no such file"}`, []string{"/none"}},
		{`{"status":413,"error":"the file is too large (at most 1000 bytes)"}`, []string{"-F", "file=@large", "/upload"}},
		{`{"status":400,"error":"the name begins with a dot"}`, []string{"--path-as-is", "/.."}},
	} {
		last := len(c.args) - 1
		c.args[last] = "http://" + s.addr + c.args[last]
		out, err := curl(t, mine, c.args...)
		require.NoError(t, err, out)
		assert.Equal(t, c.want+"\n", out)
	}
	assert.Empty(t, hidden(t, s.dir))
}
